"""The true spectra of the star and the nebula, as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from stpipe.demo.mrs.scene import STAR, nebula, observed, star
from stpipe.demo.mrs.slices import CHANNELS

__all__ = ["save_truth"]

STEP: Final = 5e-5
"""Between wavelengths, um."""


def save_truth(path: Path) -> Path:
    """Write a table, whole or not at all: wavelength in um, star in Jy, nebula in MJy/sr.

    RA and DEC are the star's place, degrees.
    """
    from astropy.io import fits

    ends = observed(np.array([channel.limits for channel in CHANNELS]))
    waves = np.concatenate([np.arange(low, high, STEP) for low, high in ends])
    columns = [
        fits.Column("wavelength", "D", unit="um", array=waves),
        fits.Column("star", "D", unit="Jy", array=star(waves)),
        fits.Column("nebula", "D", unit="MJy/sr", array=nebula(waves)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SCENE")
    table.header["RA"], table.header["DEC"] = STAR
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table.writeto(temporary, overwrite=True)
    temporary.replace(path)
    return path
