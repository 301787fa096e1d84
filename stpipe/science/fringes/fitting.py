"""Residual fringes of a spectrum: sines in wavenumber above a smooth background.

As many sines are fitted as the data give evidence for, in the Gaussian approximation of Kester (2002).
Series are in the order of pixels; wavenumbers are in 1/cm, and rise or fall throughout.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.science.fringes._sines import fit_sines, powers, powers_on_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from stpipe.science.arrays import Booleans, Doubles

    Integers = npt.NDArray[np.intp]

__all__ = [
    "COUNTED",
    "FEW",
    "SLOW",
    "FringeSearch",
    "background",
    "envelopes",
    "extremes",
    "find_fringes",
    "without_runaways",
]

FEW = 1e-8  # weight of what does not count; a zero would make the spline's equations singular
COUNTED = 1e-5  # weight above which samples count
GOOD = 1e-3  # weight above which knots are set beside gaps, and of data that are not 0
SLOW = 1.5  # 1/cm; slower fringes are fitted with rejection of outliers
DOMAIN = 10.0  # standard deviations at which outliers count for nothing
FEWEST_PERIODS = 5
TOLERANCE = 1e-4  # of chi-square
STRONG = 1.0  # decimal logarithm of a Bayes factor (Kass & Raftery 1995)
OVERSAMPLING = 6.0  # of the coarse periodogram
NEAR = 0.7  # of its highest power, above which it is looked at closely


@dataclass(frozen=True)
class FringeSearch:
    """What fringes are looked for.

    Attributes
    ----------
    period, half_range : float, 1/cm
        Of the fringes.
    most : int
        Sines that are fitted at most.
    resolution : float, 1/cm
        Of the periods that are tried.
    width, noise_range : float
        Of the prior of parameters, and the ratio of the largest to the least noise.
    robust : bool
        Whether outliers are rejected.
    """

    period: float
    half_range: float
    most: int
    resolution: float
    width: float
    noise_range: float
    robust: bool


class Extremes(NamedTuple):
    """Positions of troughs and peaks of a series, with both of its ends."""

    low: Integers
    high: Integers


def extremes(series: Doubles, neighbours: int = 1) -> Extremes:
    """Samples below, and above, all of their neighbours on either side; and the ends.

    Parameters
    ----------
    series : (n,) float64
    neighbours : int
        On each side.
    """
    inner = np.arange(neighbours, len(series) - neighbours)
    steps = [d for k in range(1, neighbours + 1) for d in (-k, k)]
    differences = np.array([series[inner] - series[inner + d] for d in steps])
    ends = [0], [len(series) - 1]
    found = (inner[(sign * differences > 0).all(axis=0)] for sign in (-1, 1))
    low, high = (np.concatenate([ends[0], each, ends[1]]) for each in found)
    return Extremes(low, high)


def envelopes(series: Doubles, neighbours: int = 1) -> tuple[Doubles, Doubles]:
    """Monotone cubics through the troughs and through the peaks of a series (n,)."""
    from scipy.interpolate import PchipInterpolator

    places = np.arange(len(series))
    low, high = (PchipInterpolator(at, series[at])(places) for at in extremes(series, neighbours))
    return low, high


def background(
    series: Doubles, weights: Doubles, wavenumber: Doubles, period: float
) -> Doubles | None:
    """A weighted spline with a knot for each period of the fringes; None if there are too few of them.

    Parameters
    ----------
    series, weights, wavenumber : (n,) float64
        Weights of what does not count are `FEW`.
    period : float, 1/cm
        Fringes above 1.5 have splines of degree 2, and outliers count less; others have lines.

    Returns
    -------
    (n,) float64
        Where weights do not count it is interpolated.

    Raises
    ------
    ValueError
        When the spline cannot be fitted.
    """
    span = wavenumber.max() - wavenumber.min()
    if span // period < FEWEST_PERIODS:
        return None
    scaled = wavenumber / wavenumber.min()
    knots = scaled[_knots(series, weights, int(span / period))]
    way = slice(None, None, 1 if scaled[-1] > scaled[0] else -1)
    rising, values, counts = scaled[way], series[way], weights[way]
    inner = knots[way][1:-1]
    robust = period > SLOW
    spline = _spline(rising, values, counts, inner, 2 if robust else 1)
    if robust:
        spline = _without_outliers(spline, rising, values, counts, inner)
    found: Doubles = spline(scaled) * np.where(weights > COUNTED / 100, 1.0, FEW)
    counted = weights >= COUNTED
    if counted.any():
        places = np.arange(len(series))
        found[~counted] = np.interp(places[~counted], places[counted], found[counted])
    return found


def _spline(
    x: Doubles, y: Doubles, weights: Doubles, knots: Doubles, degree: int
) -> Callable[[Doubles], Doubles]:
    from scipy.interpolate import LSQUnivariateSpline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of knots without weight between them
        found: Callable[[Doubles], Doubles] = LSQUnivariateSpline(x, y, knots, w=weights, k=degree)
    return found


def _without_outliers(
    spline: Callable[[Doubles], Doubles], x: Doubles, y: Doubles, weights: Doubles, knots: Doubles
) -> Callable[[Doubles], Doubles]:
    """The spline again with Tukey's biweight until chi-square stays."""
    parameters = len(knots) + 6
    residuals = y - spline(x)
    chi = float(np.nansum(residuals**2 * weights))
    freedom = weights.sum() - parameters
    for _ in range(1000 * parameters):
        with np.errstate(invalid="ignore", divide="ignore"):
            far = (residuals / (np.sqrt(chi / freedom) * DOMAIN)) ** 2
        counts = np.where(far <= 1, 1 - far, 0.0) ** 2 * weights
        spline = _spline(x, y, counts, knots, 2)
        residuals = y - spline(x)
        last, chi = chi, float(np.nansum(residuals**2 * counts))
        if abs(last - chi) < (TOLERANCE if chi < 1 else TOLERANCE * chi):
            return spline
    raise ValueError("the background does not converge")


def _knots(series: Doubles, weights: Doubles, count: int) -> Integers:
    """Positions of knots: evenly spaced, the ends, and where weights begin and end."""
    last = len(series) - 1
    step = len(series) / count
    half = (last - round((count - 1) * step)) / 2
    even = np.concatenate([[0.0], np.arange(count) * step + half, [float(last)]])
    counts = np.where(np.nan_to_num(series, posinf=FEW, neginf=FEW) > GOOD, weights, 0.0)
    pairs = np.stack([counts[:-1], counts[1:]])
    largest, least = pairs.max(axis=0), pairs.min(axis=0)
    steep = (largest > GOOD) & (least <= 0.1 * largest)
    edges = np.flatnonzero(steep) + np.argmax(pairs, axis=0)[steep]
    apart = ~(np.isin(edges - 1, even) | np.isin(edges + 1, even))
    return np.unique(np.concatenate([even, edges[apart]]).astype(np.intp))


def find_fringes(
    residuals: Doubles,
    weights: Doubles,
    wavenumber: Doubles,
    search: FringeSearch,
    sharp: Booleans | None = None,
) -> tuple[Doubles, int]:
    """The sum of as many sines as there is strong evidence for, and how many they are.

    Parameters
    ----------
    residuals, weights, wavenumber : (n,) float64
        Data over their background, less 1.
    search : FringeSearch
    sharp : (n,) bool, optional
        Samples with little enough noise to show fringes; the others count for nothing.

    Returns
    -------
    (n,) float64, int
        Zeros where there is no evidence for any.
    """
    scale = wavenumber.min()
    x = np.ascontiguousarray(wavenumber / scale)
    y = np.where(np.isfinite(residuals), residuals, 0.0)
    counted = weights > COUNTED if sharp is None else (weights > COUNTED) & sharp
    if not counted.any():
        return np.zeros_like(y), 0
    periods = np.linspace(
        (search.period - search.half_range) / scale,
        (search.period + search.half_range) / scale,
        round(2 * search.half_range / search.resolution),
    )
    xs, ys, ws = (np.ascontiguousarray(each[counted]) for each in (x, y, weights))
    evidence = _constant_evidence(y, weights, search)
    found, frequencies = np.zeros(0), list[float]()
    left = ys
    for _ in range(search.most):
        frequencies.append(_strongest(xs, left, 1 / periods))
        fit = _fit(xs, ys, ws, frequencies, search)
        if fit is None or fit[1] - evidence <= STRONG:
            break
        found, evidence = fit
        left = ys - _sines(xs, found)
    return _sines(x, found), len(found) // 3


def _fit(
    x: Doubles, y: Doubles, weights: Doubles, frequencies: list[float], search: FringeSearch
) -> tuple[Doubles, float] | None:
    """Parameters of sines that begin with `frequencies`, and their evidence; None if it fails."""
    parameters = np.ones(3 * len(frequencies))
    parameters[::3] = frequencies
    hessian = np.empty((len(parameters), len(parameters)))
    domain = DOMAIN if search.robust else 0.0
    for fixed in (True, False):
        status, chi, total = fit_sines(x, y, weights, parameters, hessian, fixed, domain)
        if status:
            return None
    evidence = _evidence(chi, total, hessian, search)
    return None if evidence is None else (parameters, evidence)


def _evidence(chi: float, total: float, hessian: Doubles, search: FringeSearch) -> float | None:
    """Decimal logarithm of the evidence of a fit; None where it is not defined.

    Parameters
    ----------
    chi, total : float
        Chi-square, and the sum of weights.
    hessian : (parameters, parameters) float64
    search : FringeSearch
    """
    count = len(hessian)
    freedom = total - count
    if freedom <= 0:
        return None
    sign, log_determinant = np.linalg.slogdet(hessian) if count else (1.0, 0.0)
    if sign <= 0 or not np.isfinite(log_determinant):
        return None
    variance = chi / freedom
    noise = np.log(search.noise_range)
    likelihood = -0.5 * (total * np.log(2 * np.pi * variance) + freedom)
    occam = 0.5 * np.log(np.pi * freedom) - noise
    if count:
        occam -= np.log(noise) + count * np.log(search.width)
        occam += 0.5 * (count * np.log(2 * np.pi * variance) - log_determinant)
    return float((likelihood + occam) / np.log(10))


def _constant_evidence(y: Doubles, weights: Doubles, search: FringeSearch) -> float:
    """The evidence of no fringe, in which all samples count alike."""
    found = _evidence(float(((y - 1) ** 2).sum()), float(weights.sum()), np.zeros((0, 0)), search)
    return -np.inf if found is None else found


def _sines(x: Doubles, parameters: Doubles) -> Doubles:
    """The sum of sines (n,) by frequency, and amplitude of cosine and sine."""
    frequency, of_cosine, of_sine = parameters.reshape(-1, 3).T
    phase = 2 * np.pi * x[:, None] * frequency
    found: Doubles = np.cos(phase) @ of_cosine + np.sin(phase) @ of_sine
    return found


def _strongest(x: Doubles, y: Doubles, frequencies: Doubles) -> float:
    """The one of `frequencies` (falling) with the highest Lomb-Scargle power.

    Power changes slowly with the frequency: a coarse grid tells where to look.
    """
    y = np.ascontiguousarray(y - y.mean())
    low, high = float(frequencies.min()), float(frequencies.max())
    count = int(np.ceil((high - low) * np.ptp(x) * OVERSAMPLING)) + 2
    step = (high - low) / (count - 1)
    coarse = np.empty(count)
    powers_on_grid(x, y, low, step, coarse)
    bright = np.flatnonzero(coarse >= NEAR * coarse.max())
    cell = (frequencies - low) / step
    near = np.isin(np.floor(cell), np.unique([bright - 1, bright])) | np.isin(cell, bright)
    asked = np.ascontiguousarray(frequencies[near])
    if not len(asked):
        asked = np.ascontiguousarray(frequencies)
    found = np.empty(len(asked))
    powers(x, y, asked, found)
    return float(asked[np.argmax(found)])


def without_runaways(fringes: Doubles, largest: Doubles) -> tuple[Doubles, Booleans]:
    """Fringes with 0 in beats that are larger than allowed, and where that is.

    Parameters
    ----------
    fringes, largest : (n,) float64
    """
    low, high = envelopes(fringes)
    nodes = extremes(high).low
    wild = np.flatnonzero(np.abs(low) + np.abs(high) > largest)
    beats = np.searchsorted(nodes, wild)
    bad = np.zeros(len(fringes), dtype=bool)
    for beat in np.unique(beats[beats > 0]):
        bad[nodes[beat - 1] : nodes[beat]] = True
    return np.where(bad, 0.0, fringes), bad
