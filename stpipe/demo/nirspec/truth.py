"""The true spectra of an exposure, as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from stpipe.demo.nirspec.rays import BAND
from stpipe.demo.nirspec.settings import SKY

if TYPE_CHECKING:
    from stpipe.demo.nirspec.settings import Setting

__all__ = ["save_spectra"]

STEP: Final = 1e-4
"""Between wavelengths, um."""


def save_spectra(path: Path, setting: Setting) -> Path:
    """Write a table for each slit, whole or not at all: wavelength in um, spectrum and continuum.

    Stars are in Jy; nebulae, with the sky before them unless it is subtracted, in MJy/sr. SLTNAME
    names the slit.
    """
    from astropy.io import fits

    waves = np.arange(BAND[0] * 1e6, BAND[1] * 1e6, STEP)
    tables = [fits.PrimaryHDU()]
    for slit in setting.slits:
        if slit.source is None:
            continue
        unit = "Jy" if slit.star else "MJy/sr"
        # That of shutters is subtracted.
        sky = 0.0 if slit.star or setting.has_shutters else SKY.continuum(waves)
        spectrum, continuum = slit.source.spectrum(waves), slit.source.continuum(waves)
        columns = [
            fits.Column("wavelength", "D", unit="um", array=waves),
            fits.Column("spectrum", "D", unit=unit, array=spectrum + sky),
            fits.Column("continuum", "D", unit=unit, array=continuum + sky),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
        table.header["SLTNAME"] = slit.name
        tables.append(table)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fits.HDUList(tables).writeto(temporary, overwrite=True)
    temporary.replace(path)
    return path
