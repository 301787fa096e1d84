"""The step `jump`."""
