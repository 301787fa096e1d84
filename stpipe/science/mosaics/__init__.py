"""Grids on the sky and along slits, drizzling onto them, headers of what was combined."""
