"""Take residual fringes out of the columns of an image of MIRI's medium-resolution spectrometer.

Slices are dispersed along the columns, which are fitted one by one. Series are in the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.science.fringes.fitting import (
    COUNTED,
    FEW,
    SLOW,
    FringeSearch,
    background,
    envelopes,
    extremes,
    find_fringes,
    without_runaways,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.science.arrays import Booleans, Doubles

__all__ = ["Column", "Outcome", "SliceRules", "column_factors", "detector_search", "without_lines"]

WIDTH, NOISE_RANGE = 13.0, 1e4  # priors of parameters and of the noise
FEWEST = 50  # pixels
SHARP = 10.0  # signal to noise of pixels that show fringes
FAINT = 0.003  # weight of pixels that count for nothing
AMPLITUDES = 2.0  # times the largest amplitude of the reference are allowed
WINDOW = 7  # pixels, over which the dichroic's fringes are smoothed
NOTHING = 1e-8  # values that are as good as 0
DEGREE = 3  # of the trend of wavenumbers
DER_SNR = 1.482602 / np.sqrt(6)  # Stoehr et al. 2008


class Outcome(Enum):
    """What became of a column."""

    FITTED = "fitted"
    SHORT = "too short"
    FAINT = "too faint"
    ABSENT = "without fringes"
    FAILED = "failed"


@dataclass(frozen=True)
class SliceRules:
    """What is looked for in a slice: kinds of fringes, and the signal to noise that each needs.

    With `smooth` features are looked for once more above the running mean, as the fringes of the
    dichroic hide broad ones.
    """

    searches: Sequence[FringeSearch]
    least_snr: Sequence[float]
    smooth: bool


class Column(NamedTuple):
    """A column of a slice (rows,): 0 beside the slice and where there is no good value.

    Attributes
    ----------
    data : float64
        Over the median of the exposure.
    weights : float64
        Data over the mean of the whole column.
    snr : float64
        Signal to noise of pixels.
    wavelength : float64, um
        NaN or 0 beside the slice.
    amplitude : float64
        The largest amplitude of fringes.
    """

    data: Doubles
    weights: Doubles
    snr: Doubles
    wavelength: Doubles
    amplitude: Doubles


def detector_search(period: float, half_range: float, most: int, resolution: float) -> FringeSearch:
    """What fringes the FRINGEFREQ reference says to look for (1/cm)."""
    return FringeSearch(
        period, half_range, most, resolution, WIDTH, NOISE_RANGE, robust=period > SLOW
    )


def column_factors(column: Column, rules: SliceRules) -> tuple[Doubles, Outcome]:
    """What a column is multiplied by, and what became of it.

    Returns
    -------
    (rows,) float64, Outcome
        1 where nothing is corrected.
    """
    same = np.ones(len(column.data))
    lit = column.wavelength > 0
    if np.count_nonzero(lit) <= FEWEST:
        return same, Outcome.SHORT
    snr = _signal_to_noise(np.where(column.data < 0, FEW, column.data)[lit])
    if not snr >= rules.least_snr[0]:
        return same, Outcome.FAINT
    try:
        factor, count = _fitted(column, rules, snr)
    except ValueError:  # of splines that cannot be fitted
        return same, Outcome.FAILED
    if not count:
        return same, Outcome.ABSENT
    return np.where(column.data > 0, factor, 1.0), Outcome.FITTED


def _fitted(column: Column, rules: SliceRules, snr: float) -> tuple[Doubles, int]:
    """Factors of all kinds of fringes, and how many kinds there are."""
    sharp = column.snr > SHARP
    flux = np.where(column.data > 0, column.data, FEW)
    bright = np.where(column.weights > 0, column.weights, FEW)
    allowed = AMPLITUDES * column.amplitude
    weights = _plain(flux, bright, sharp, allowed, smooth=rules.smooth)
    wavenumber = _wavenumbers(column.wavelength)
    total: Doubles = np.ones(len(flux))
    count = 0
    for number, search in enumerate(rules.searches):
        if number and not snr > rules.least_snr[number]:
            continue
        level = background(flux, weights, wavenumber, search.period)
        if level is None:
            continue
        residuals = np.divide(flux, level, out=np.zeros_like(flux), where=level != 0)
        residuals[residuals != 0] -= 1
        residuals *= np.where(bright > COUNTED / 100, 1.0, FEW)
        fringes, found = find_fringes(residuals, weights, wavenumber, search, sharp)
        weights = weights * sharp
        if not found:
            continue
        count += 1
        fringes, _ = without_runaways(fringes, allowed)
        factor = 1 / (1 + np.where(bright > COUNTED, fringes, 0.0))
        total *= factor
        flux = np.nan_to_num(flux * factor, posinf=FEW, neginf=FEW)
        flux[flux < 0] = FEW
    return total, count


def _signal_to_noise(flux: Doubles) -> float:
    """Mean over the noise, of second differences of every other pixel (DER_SNR)."""
    differences = 2 * flux[2:-2] - flux[:-4] - flux[4:]
    noise = DER_SNR * float(np.median(np.abs(differences)))
    return float(flux.mean()) / noise if noise else 0.0


def _plain(
    flux: Doubles, bright: Doubles, sharp: Booleans, allowed: Doubles, *, smooth: bool
) -> Doubles:
    """Weights without features that are larger than fringes, and without lonely ends."""
    low, _ = envelopes(flux)
    weights = bright * without_lines((np.abs(flux / low) - 1) * sharp, allowed)
    if smooth:
        weights = weights * without_lines(np.abs(flux / _smooth_envelope(flux)) - 1, allowed)
    used = np.flatnonzero(weights)
    if len(used) > 1:
        for end, gap in ((0, used[1] - used[0]), (-1, used[-1] - used[-2])):
            if weights[end] and gap > 1:
                weights[end] = FEW
    return np.where(weights <= FAINT, FEW, weights)


def _smooth_envelope(flux: Doubles) -> Doubles:
    """Through the troughs of the running mean, which counts from the first pixel of its window."""
    from scipy.interpolate import PchipInterpolator

    sums = np.cumsum(np.insert(flux, 0, 0.0))
    mean = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    troughs = extremes(mean).low
    places = np.concatenate([troughs[:-1], [len(flux) - 1]])
    found: Doubles = PchipInterpolator(places, mean[troughs])(np.arange(len(flux)))
    return found


def without_lines(signal: Doubles, allowed: Doubles) -> Doubles:
    """0 from trough to trough around peaks that are higher than allowed, 1 elsewhere.

    Parameters
    ----------
    signal : (n,) float64
        Height above the envelope, in its unit.
    allowed : (n,) float64
        NaN where anything is.
    """
    middle = np.arange(1, len(signal) - 1)
    left, here, right = signal[middle - 1], signal[middle], signal[middle + 1]
    something = np.max([np.abs(left), np.abs(here), np.abs(right)], axis=0) > NOTHING
    peaks = middle[something & (here > left) & (here > right)]
    troughs = middle[something & (here < left) & (here < right)]
    plain, left_over = np.ones(len(signal)), signal.copy()
    if len(troughs) > 1:
        high = peaks[signal[peaks] > allowed[peaks]]
        for place in np.unique(np.concatenate([high - 1, high, high + 1])):
            nearest = troughs[np.argsort(np.abs(troughs - place), kind="stable")[:2]]
            plain[nearest.min() : nearest.max()] = 0
        left_over[plain == 0] = 0
    return np.where(left_over > 2 * allowed, 0.0, plain)


def _wavenumbers(wavelength: Doubles) -> Doubles:
    """Wavenumbers in 1/cm; beside the slice the trend goes on."""
    from numpy.polynomial import polynomial

    rows = np.arange(len(wavelength))
    lit = wavelength > 0
    known = 1e4 / wavelength[lit]
    if lit.all():
        return known
    trend = polynomial.polyval(rows, polynomial.polyfit(rows[lit], known, DEGREE))
    return np.where(lit, 1e4 / np.where(lit, wavelength, 1.0), trend)
