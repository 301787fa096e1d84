"""The step `source_catalog`."""
