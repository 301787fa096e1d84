"""Ramps: fitting them, and arithmetic on their samples."""
