"""The step `cube_build`."""
