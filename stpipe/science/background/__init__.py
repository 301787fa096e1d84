"""Levels of the sky, and masks of what is not sky."""
