"""Calibration steps, one a module: the class first, its arithmetic below it."""
