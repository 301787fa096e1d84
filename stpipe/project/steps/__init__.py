"""Rules of projects that are no steps of a pipeline: hooks and saved inputs."""
