"""The response of pixels: of images, and of spectra by wavelength."""
