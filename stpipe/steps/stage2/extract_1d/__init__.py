"""The step `extract_1d`."""
