"""The step `flat_field`."""
