"""Apertures on spectra, and sums within them."""
