"""Pipelines: each a recipe of flat calls."""
