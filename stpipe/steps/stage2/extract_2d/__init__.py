"""The step `extract_2d`."""
