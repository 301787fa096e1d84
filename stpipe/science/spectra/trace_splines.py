"""Splines through the light across a spectrum, column by column.

The trace of a spectrum is tilted against the pixels, so that the columns beside one sample the profile
of a source at other places. A spline through all of them describes it better than the pixels of a
column do. Arrays are (across, along): wavelengths run along rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scipy.interpolate import BSpline

    from stpipe.science.arrays import Booleans, Floats

__all__ = ["ColumnFit", "SplineRules", "fit_columns", "native_step"]

DEGREE = 3
FAR = 5.0  # standard deviations of the spacing, beyond which a sample stands alone
COUNTED = 10  # of the largest spacings this one must be smaller than that of the knots
ENOUGH = 0.8  # of the samples must remain
FEWER = 3  # knots less, where there is no spline with all of them
BRIGHTEST = 5  # samples tell what is usual
UNUSUAL = 2.0  # standard deviations


@dataclass(frozen=True)
class SplineRules:
    """How splines are fitted.

    Attributes
    ----------
    reach
        Columns on each side that count.
    knots, fewest
        Knots, and good pixels that a column must exceed, in parts of the native steps of a slit.
    gap
        The largest spacing of samples, in spacings of knots.
    clip
        Samples beyond so many standard deviations are left out.
    rounds
        Fits at most.
    """

    reach: int = 50
    knots: float = 2.0
    fewest: float = 0.5
    gap: float = 1.6
    clip: float = 2.5
    rounds: int = 3


@dataclass(frozen=True)
class ColumnFit:
    """The light of a column: a spline by place, within its limits, times a scale."""

    spline: BSpline
    scale: float
    limits: tuple[float, float]

    def inside(self, place: Floats) -> Booleans:
        """Which places the spline is for."""
        found: Booleans = np.isfinite(place) & (place >= self.limits[0]) & (place <= self.limits[1])
        return found


def native_step(place: Floats) -> float:
    """The median step of the place from pixel to pixel across a spectrum (across, along)."""
    step: float = np.abs(np.nanmedian(np.diff(place, axis=0)))
    return step


def fit_columns(
    data: Floats, place: Floats, scale: Floats, rules: SplineRules, columns: Iterable[int]
) -> dict[int, ColumnFit]:
    """Fit a spline to every column and its neighbours.

    Where that fails the spline of the column before is used, scaled to this one.

    Parameters
    ----------
    data : (across, along) float32
        NaN counts as missing.
    place : (across, along) float32
        Along the slit, in any unit.
    scale : (along,) float32
        What columns are divided by to be alike.
    rules : SplineRules
    columns : iterable of int
        In the order in which they are fitted.

    Returns
    -------
    dict of ColumnFit
        By column; those without are missing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = data / scale
    steps = (np.nanmax(place) - np.nanmin(place)) / native_step(place)
    knots, fewest = int(rules.knots * steps), int(rules.fewest * steps)
    good = (np.isfinite(data) & np.isfinite(place)).sum(axis=0)
    found: dict[int, ColumnFit] = {}
    last: ColumnFit | None = None
    for column in columns:
        if good[column] <= fewest:
            continue
        near = slice(max(column - rules.reach, 0), column + rules.reach)
        fitted = _fit_near(place[:, near], alike[:, near], knots, rules, retry=last is None)
        last = fitted or last
        if last is not None:
            last = ColumnFit(
                last.spline, _scale(last, data[:, column], place[:, column]), last.limits
            )
            found[column] = last
    return found


def _fit_near(
    place: Floats, values: Floats, knots: int, rules: SplineRules, *, retry: bool
) -> ColumnFit | None:
    """A spline through samples of several columns; with fewer knots if it is to be tried again."""
    known = np.isfinite(place) & np.isfinite(values)
    x, y = place[known], values[known]
    order = np.argsort(x)
    x, y = x[order], y[order]
    if len(x) < COUNTED:
        return None
    spline = _fit(x, y, knots, rules)
    if spline is None and retry and knots > FEWER:
        spline = _fit(x, y, knots - FEWER, rules)
    return None if spline is None else ColumnFit(spline, 1.0, (x[0], x[-1]))


def _fit(x: Floats, y: Floats, knots: int, rules: SplineRules) -> BSpline | None:
    """A cubic spline of least squares through samples in order of x, without those that stand out."""
    from astropy.stats import sigma_clipped_stats

    spacing = np.abs(np.diff(x, prepend=0))
    mean, _, deviation = sigma_clipped_stats(spacing)
    if np.isfinite(deviation):
        together = spacing <= mean + FAR * deviation
        x, y = x[together], y[together]
    if not knots or np.partition(spacing, -COUNTED)[-COUNTED] > rules.gap * np.ptp(x) / knots:
        return None
    fewest, found = ENOUGH * len(x), None
    for _ in range(rules.rounds):
        spline = _least_squares(x, y, knots)
        if spline is None:
            break
        found = spline
        deviations = y - spline(x)
        keep = np.abs(deviations) <= rules.clip * np.std(deviations)
        if keep.all() or keep.sum() < fewest:
            break
        x, y = x[keep], y[keep]
    return found


def _least_squares(x: Floats, y: Floats, knots: int) -> BSpline | None:
    """The spline with equal steps between its knots; None when samples do not tell it."""
    from scipy.interpolate import make_lsq_spline

    low, high = np.min(x), np.max(x)
    step = (high - low) / knots
    inner = np.arange(low + step / 2.0, high - step / 2.0, step)
    ends = ([x[0]] * (DEGREE + 1), [x[-1]] * (DEGREE + 1))
    try:
        spline = make_lsq_spline(x, y, np.concatenate((ends[0], inner, ends[1])), k=DEGREE)
    except ValueError:
        return None
    return spline if np.isfinite(spline(x)).all() else None


def _scale(fit: ColumnFit, data: Floats, place: Floats) -> float:
    """What the spline is multiplied by to be a column: the mean ratio, weighted by the spline."""
    from astropy.stats import sigma_clipped_stats

    inside = fit.inside(place)
    values, model = data[inside], fit.spline(place[inside])
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")
        ratio = values / model
        weights = np.where(np.isfinite(ratio) & (ratio >= 0) & (model >= 0), model, 0.0)
        least = np.sort(weights)[-BRIGHTEST:].min(initial=np.inf)
        mean, _, deviation = sigma_clipped_stats(ratio[(weights >= least) & np.isfinite(ratio)])
        weights[np.abs(mean - ratio) > UNUSUAL * deviation] = 0
        return float(np.nansum(ratio * weights / np.nansum(weights)))
