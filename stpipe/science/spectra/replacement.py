"""Estimate the values of pixels that have none, from the pixels around them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = ["along_gradient", "by_profile", "by_trace_model"]

MARGIN = 2  # pixels at the edges that are not estimated
SIGNIFICANT = 5.0  # signal to noise below which profiles are not normalised


def along_gradient(values: Mapping[str, Floats], dq: Bits) -> tuple[dict[str, Floats], Bits]:
    """Means of the two neighbours that differ less: left and right, or above and below.

    Pixels without value become the mean of that pair; variances the square of the mean of the roots.
    Pixels with neither pair stay, as do two rows and columns at the edges.

    Parameters
    ----------
    values : dict of (rows, columns) float32
        By the name of the array; `data` decides, and variances are named `var_...`.
    dq : (rows, columns) uint32

    Returns
    -------
    values : dict of (rows, columns) float32
    dq : (rows, columns) uint32
        Of estimated pixels with FLUX_ESTIMATED, and without DO_NOT_USE unless they are NON_SCIENCE.
    """
    data = values["data"]
    y, x = np.nonzero(~np.isfinite(data))
    inner = (x >= MARGIN) & (x < data.shape[1] - 1) & (y >= MARGIN) & (y < data.shape[0] - 1)
    y, x = y[inner], x[inner]
    pairs = (((y, x - 1), (y, x + 1)), ((y - 1, x), (y + 1, x)))
    steps = np.array([np.abs(data[one] - data[other]) for one, other in pairs])
    steps = np.where(np.isnan(steps), np.inf, steps)
    known = np.isfinite(steps).any(axis=0)
    vertical = steps[1] < steps[0]
    found = {}
    for name, array in values.items():
        source = np.sqrt(array) if name.startswith("var_") else array
        means = [(source[one] + source[other]) / np.float32(2) for one, other in pairs]
        estimate = np.where(vertical, means[1], means[0])
        found[name] = array.copy()
        found[name][y[known], x[known]] = (estimate**2 if name.startswith("var_") else estimate)[
            known
        ]
    estimated = np.zeros(dq.shape, dtype=bool)
    estimated[y[known], x[known]] = True
    return found, _flagged(dq, estimated)


def _flagged(dq: Bits, estimated: Booleans) -> Bits:
    usable = estimated & ~has(dq, dqflags.NON_SCIENCE)
    dq = dq & ~bits_where(usable, dqflags.DO_NOT_USE)
    return dq | bits_where(estimated, dqflags.FLUX_ESTIMATED)


# --- by the profile across the dispersion -----------------------------------------------------------


def by_profile(
    values: Mapping[str, Floats], dq: Bits, n_adjacent_cols: int
) -> tuple[dict[str, Floats], Bits]:
    """The median profile of neighbours along the dispersion, scaled to the pixels that are known.

    Parameters
    ----------
    values : dict of (along, across) float32
        By the name of the array: `data`, `err`, variances `var_...`.
    dq : (along, across) uint32
        Pixels that are DO_NOT_USE and not NON_SCIENCE are estimated.
    n_adjacent_cols : int
        Neighbours on each side.

    Returns
    -------
    values : dict of (along, across) float32
    dq : (along, across) uint32
        Of estimated pixels with FLUX_ESTIMATED instead of DO_NOT_USE.
    """
    found, flags = {name: array.copy() for name, array in values.items()}, dq.copy()
    bad, outside = has(dq, dqflags.DO_NOT_USE), has(dq, dqflags.NON_SCIENCE)
    if bad.all():
        return found, flags
    along, across = (_span(~bad, axis) for axis in (1, 0))
    wanted = bad & ~outside
    used = {name: np.where(bad, np.nan, _error(name, array)) for name, array in values.items()}
    valid: Booleans = ~np.all((bad | outside)[:, across], axis=1)
    for at in range(along.start, along.stop):
        if not (valid[at] and wanted[at, across].any()):
            continue
        near = range(
            max(at - n_adjacent_cols, along.start), min(at + n_adjacent_cols + 1, along.stop)
        )
        neighbours = [k for k in near if k != at and valid[k]]
        if not neighbours:
            continue
        profiles, unit = _profiles({n: a[neighbours, across] for n, a in used.items()})
        scale = _scale(profiles["data"], used["data"][at, across], unit)
        here = wanted[at, across]
        for name, array in found.items():
            estimate = profiles[name] * scale
            estimate = estimate**2 if name.startswith("var_") else estimate
            array[at, across] = np.where(here, estimate, array[at, across])
        estimated = np.zeros(flags.shape[1], dtype=bool)
        estimated[across] = here & np.isfinite(profiles["data"])
        flags[at] = _flagged(flags[at], estimated)
    return found, flags


def _span(good: Booleans, axis: int) -> slice:
    """From the first to the last line along the other axis with a good pixel."""
    lines = np.flatnonzero(good.any(axis=axis))
    return slice(int(lines[0]), int(lines[-1]) + 1)


def _error(name: str, array: Floats) -> Doubles:
    """An array in the unit of the data: of variances the root."""
    values: Doubles = array.astype(np.float64)
    return np.sqrt(values) if name.startswith("var_") else values


def _profiles(near: Mapping[str, Doubles]) -> tuple[dict[str, Doubles], bool]:
    """Median profile of each array (neighbours, across), and whether they are of unit height."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        with np.errstate(divide="ignore", invalid="ignore"):
            signal = np.nanmax(np.abs(near["data"] / near["err"]))
        height = np.nanmax(np.abs(near["data"]), axis=1, keepdims=True)
        unit = not signal < SIGNIFICANT
        height = height if unit else np.ones_like(height)
        return {n: np.nanmedian(a / height, axis=0) for n, a in near.items()}, unit


def _scale(profile: Doubles, current: Doubles, unit: bool) -> float:
    """What a profile of unit height is multiplied by to be that of the current pixels.

    Least squares of the sizes without their signs, as noise may have either.
    """
    known = np.isfinite(current) & np.isfinite(profile)
    shape, asked = np.abs(profile[known]), np.abs(current[known])
    total = float(shape @ shape)
    if not unit or not total:
        return 1.0
    sign = np.sign(current[np.isfinite(current)].max())
    return float(sign * (shape @ asked) / total)


# --- by a model of the traces ---------------------------------------------------------------------


def by_trace_model(
    values: Mapping[str, Floats], dq: Bits, trace_model: Floats
) -> tuple[dict[str, Floats], Bits]:
    """The model where there is one; errors by those of neighbours along the dispersion.

    Parameters
    ----------
    values : dict of (along, across) float32
        By the name of the array: `data`, which decides, `err`, variances `var_...`.
    dq : (along, across) uint32
    trace_model : (along, across) float32
        NaN where there is none.

    Returns
    -------
    values : dict of (along, across) float32
    dq : (along, across) uint32
        Of estimated pixels with FLUX_ESTIMATED instead of DO_NOT_USE.
    """
    estimated = ~np.isfinite(values["data"]) & np.isfinite(trace_model)
    found = {"data": np.where(estimated, trace_model, values["data"])}
    for name, array in values.items():
        if name != "data":
            filled = _interpolated(np.sqrt(array) if name.startswith("var_") else array, estimated)
            found[name] = np.where(
                estimated, filled**2 if name.startswith("var_") else filled, array
            ).astype(np.float32)
    dq = dq & ~bits_where(estimated, dqflags.DO_NOT_USE)
    return found, dq | bits_where(estimated, dqflags.FLUX_ESTIMATED)


def _interpolated(array: Floats, wanted: Booleans) -> Doubles:
    """Values at wanted pixels (along, across), linear along the dispersion; NaN without any."""
    filled = np.where(wanted, np.nan, array).astype(np.float64)
    for line in np.flatnonzero(wanted.any(axis=0)):
        known = np.flatnonzero(np.isfinite(filled[:, line]))
        if len(known):
            at = np.flatnonzero(wanted[:, line])
            filled[at, line] = np.interp(at, known, filled[known, line])
    return filled
