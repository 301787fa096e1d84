"""Finding sources and measuring their shapes."""
