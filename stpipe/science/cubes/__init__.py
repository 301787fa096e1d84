"""Spectral cubes of integral-field units: their grid, what falls on it, and what it covers."""
