"""The step `clean_flicker_noise`."""
