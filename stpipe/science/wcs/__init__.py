"""World coordinates: imaging, prism and grism models, pointing, wavelengths."""
