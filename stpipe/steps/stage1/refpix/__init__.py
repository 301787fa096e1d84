"""The step `refpix`."""
