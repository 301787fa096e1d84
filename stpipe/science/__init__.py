"""Arithmetic that several steps share, by subject: arrays in, arrays out; no steps, no file names."""
