"""Fringes that are left in spectra of MIRI: sines in wavenumber, found and divided out."""
