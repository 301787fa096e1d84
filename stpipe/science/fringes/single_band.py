"""Take residual fringes out of extracted spectra of MIRI's medium-resolution spectrometer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.science.fringes.fitting import (
    COUNTED,
    FEW,
    FringeSearch,
    background,
    envelopes,
    find_fringes,
    without_runaways,
)

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles

__all__ = ["Defringed", "without_fringes"]

WIDTH, NOISE_RANGE = 1002.0, 1000.0  # priors of parameters and of the noise
DETECTOR = FringeSearch(2.9, 1.5, 10, 0.001, WIDTH, NOISE_RANGE, robust=True)
DICHROIC = FringeSearch(0.4, 0.15, 15, 0.001, WIDTH, NOISE_RANGE, robust=True)
WITH_DICHROIC = (3, 4)  # channels
LONGEST = 27.6  # um; beyond, the calibration is too uncertain
LARGEST = 0.4  # amplitude
SIGMA = 5.0  # of features


class Defringed(NamedTuple):
    """A spectrum, and how many kinds of fringes were found, were not there, and were not fitted."""

    values: Doubles
    found: int
    absent: int
    failed: int


def without_fringes(values: Doubles, wavelength: Doubles, channel: int) -> Defringed:
    """A spectrum without the fringes of the detector, and those of the dichroics in channels 3 and 4.

    Samples that are not positive stay as they are. Lines and other features, and what lies beyond 27.6
    um, do not count in the fit, but are corrected, too.

    Parameters
    ----------
    values : (n,) float64
        In any unit.
    wavelength : (n,) float64, um
        Rising.
    channel : int

    Returns
    -------
    Defringed
    """
    kinds = (DETECTOR, DICHROIC) if channel in WITH_DICHROIC else (DETECTOR,)
    lit = np.flatnonzero((values > 0) & np.isfinite(values) & np.isfinite(wavelength))
    if len(lit) < 5 or not (wavelength[lit] <= LONGEST).any():  # noqa: PLR2004 - what envelopes need
        return Defringed(values.copy(), 0, len(kinds), 0)
    flux, wavenumber = values[lit].astype(np.float64), 1e4 / wavelength[lit]
    bright = flux / np.median(flux)
    weights = np.where(wavelength[lit] > LONGEST, 0.0, bright) * _plain(flux)
    weights[weights <= 0] = FEW
    found = failed = 0
    for search in kinds:
        try:
            factor = _factor(flux, weights, wavenumber, search)
        except ValueError:  # of the spline below the fringes
            failed += 1
            continue
        if factor is not None:
            flux = np.nan_to_num(flux * np.where(bright > COUNTED, factor, 1.0), posinf=0.0)
            found += 1
    corrected = values.astype(np.float64)
    corrected[lit] = flux
    return Defringed(corrected, found, len(kinds) - found - failed, failed)


def _plain(flux: Doubles) -> Doubles:
    """1 where there is no feature, that is, no deviation from the middle of both envelopes."""
    from astropy.stats import sigma_clipped_stats

    middle = np.mean(envelopes(flux, neighbours=2), axis=0)
    deviation = np.abs((flux - middle) / middle)
    _, median, spread = sigma_clipped_stats(deviation, sigma_lower=np.inf, sigma_upper=SIGMA)
    return np.where(deviation < median + SIGMA * spread, 1.0, 0.0)


def _factor(
    flux: Doubles, weights: Doubles, wavenumber: Doubles, search: FringeSearch
) -> Doubles | None:
    """What takes fringes of one kind away; None without any."""
    level = background(flux, weights, wavenumber, search.period)
    if level is None:
        return None
    residuals = np.divide(flux, level, out=np.full_like(flux, FEW), where=level != 0)
    residuals[residuals != 0] -= 1
    fringes, count = find_fringes(residuals, weights, wavenumber, search)
    if not count:
        return None
    fringes, _ = without_runaways(fringes, np.full(len(flux), LARGEST))
    factor: Doubles = 1 / (1 + fringes)
    return factor
