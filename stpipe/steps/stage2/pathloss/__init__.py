"""The step `pathloss`."""
