"""Steps of the second stage: world coordinates, fluxes, spectra, for each exposure."""
