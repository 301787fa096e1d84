"""Outlier detection, of images, of slits and of integral fields."""
