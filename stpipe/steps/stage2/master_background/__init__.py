"""The steps of `master_background_mos` that are its own."""
