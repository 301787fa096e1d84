"""The model classes, by subject."""
