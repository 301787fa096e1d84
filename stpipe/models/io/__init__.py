"""Models as files: reading and writing FITS, ASDF and ECSV."""
