"""Dithered exposures of a star before a nebula through MIRI's medium-resolution spectrometer."""
