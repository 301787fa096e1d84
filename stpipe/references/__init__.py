"""Reference files: selected by the rules of CRDS or of a folder, opened, and cut to the exposure."""
