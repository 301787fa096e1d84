"""The light of an even background on the pixels of a calibrated spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.spectra.sampling import on_pixels

if TYPE_CHECKING:
    from stpipe.models.protocols import Exposure
    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = ["CORRECTIONS", "as_of_a_point", "has_both", "light_on"]

CORRECTIONS = ("pathloss", "flatfield", "photom")  # that depend on whether a source is a point


def light_on(
    wavelength: Floats | Doubles, known: Doubles, brightness: Doubles
) -> tuple[Floats, Booleans]:
    """The surface brightness of the background in every pixel, and where it is not known.

    Parameters
    ----------
    wavelength : (rows, columns), um
        NaN outside the spectrum.
    known : (n,) float64, um
        Ascending.
    brightness : (n,) float64, MJy/sr
        At those wavelengths.

    Returns
    -------
    light : (rows, columns) float32, MJy/sr
        0 where it is not known.
    unknown : (rows, columns) bool
        Pixels without wavelength, or with one beyond those that are known.
    """
    unknown = ~((wavelength >= known[0]) & (wavelength <= known[-1]))
    return np.where(unknown, np.float32(0), on_pixels(wavelength, known, brightness)), unknown


def has_both(spectrum: Exposure, correction: str) -> bool:
    """Whether a spectrum carries what a correction is for a point and for light that fills the slit."""
    return all(spectrum.has(f"{correction}_{kind}") for kind in ("point", "uniform"))


def as_of_a_point(light: Floats, spectrum: Exposure) -> Floats:
    """Even light as it is in a spectrum that was calibrated for a point source.

    Losses on the way and the flat divide, photometry multiplies; what was done for light that fills the
    slit is taken back, and what was done for the point is done instead. Corrections that the spectrum
    does not carry were not made.

    Parameters
    ----------
    light : (rows, columns) float32, MJy/sr
    spectrum : Exposure
        With arrays (rows, columns) `pathloss_point`, `pathloss_uniform` and so on.

    Returns
    -------
    (rows, columns) float32
        In the unit of the spectrum; NaN where a correction is none.
    """
    found = light.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        for name in (c for c in CORRECTIONS if has_both(spectrum, c)):
            point, uniform = (
                np.asarray(getattr(spectrum, f"{name}_{kind}"), np.float64)
                for kind in ("point", "uniform")
            )
            found = found * (point / uniform if name == "photom" else uniform / point)
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)
