"""World coordinates of NIRSpec: the chain of its optics from a pixel to the sky."""
