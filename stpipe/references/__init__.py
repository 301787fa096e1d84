"""Reference files: which ones serve an exposure, from CRDS or a folder, and opening them."""
