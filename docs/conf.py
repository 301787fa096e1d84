"""Sphinx configuration."""

project = "stpipe-flow"
author = "The stpipe-flow developers"
copyright = "2026, the stpipe-flow developers"  # noqa: A001 - the name that Sphinx wants

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Calibrate space-telescope exposures", "page_width": "1000px"}
autodoc_typehints = "none"
nitpicky = False
