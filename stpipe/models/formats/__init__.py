"""The elements of FITS and ASDF: cards, headers and data units, YAML tags."""
