"""The step `assign_wcs`."""
