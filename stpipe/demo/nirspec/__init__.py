"""Spectra through the slits of NIRSpec: optics, sources, exposures and their reference files."""
