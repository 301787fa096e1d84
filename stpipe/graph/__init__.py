"""What a pipeline will do to an exposure, without doing it."""
