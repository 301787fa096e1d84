"""Outliers of integral fields: pixels that stand out from their neighbours in all exposures."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.steps.stage3.outlier_detection._medians import median_filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from stpipe.models import ModelLibrary
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = ["SliceLimits", "least_difference", "outliers_of_slices", "standing_out"]

EDGE = 4  # rows and columns along the edges of a detector that say nothing of its pixels
FLOOR = 3.0  # parts of the median of all differences below which no median nearby counts


@dataclass(frozen=True)
class SliceLimits:
    """Rows and columns of the window of medians, percentage of pixels that are good, and a check.

    With `without_neighbours` pixels are outliers, too, if no exposure has a value beside them.
    """

    window: tuple[int, int]
    percent: float
    without_neighbours: bool = False


def outliers_of_slices(
    library: ModelLibrary, limits: SliceLimits
) -> Iterator[tuple[list[int], npt.NDArray[np.int32]]]:
    """For each detector the members that show it, and pixels that are outliers in all of them.

    One exposure at a time is in memory.
    """
    detectors: dict[str, list[int]] = {}
    for number in range(len(library)):
        name = str(library.metadata(number).get("meta.instrument.detector"))
        detectors.setdefault(name, []).append(number)
    for numbers in detectors.values():
        least: Doubles | None = None
        for number in numbers:
            with library[number] as member:
                axis = int(str(member.meta.instrument.name).upper() == "MIRI")
                here = least_difference(member.data, member.dq, axis)
            least = here if least is None else np.fmin(least, here)
        if least is not None:
            yield numbers, np.flatnonzero(standing_out(least, limits)).astype(np.int32)


def least_difference(data: Floats, dq: Bits, axis: int) -> Doubles:
    """The lesser difference of each pixel from its two neighbours along an axis; NaN without any.

    Parameters
    ----------
    data : (rows, columns) float32
    dq : (rows, columns) uint32
        Pixels that are DO_NOT_USE have no value.
    axis : {0, 1}
        Across the dispersion.

    Returns
    -------
    (rows, columns) float64
        In the unit of the data. Beyond the first and the last pixel the light is taken as 0.
    """
    known = np.where(has(dq, dqflags.DO_NOT_USE), np.float32(np.nan), data)
    before = np.diff(known, axis=axis, prepend=np.float32(0))
    after = np.diff(known, axis=axis, append=np.float32(0))
    return np.fmin(np.abs(before), np.abs(after)).astype(np.float64)


def standing_out(least: Doubles, limits: SliceLimits) -> Booleans:
    """Pixels whose least difference is large for their neighbourhood.

    Parameters
    ----------
    least : (rows, columns) float64
        NaN where it is not known.
    limits : SliceLimits

    Returns
    -------
    (rows, columns) bool
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        floor = np.nanmedian(least) / FLOOR
        nearby = median_filter(least, *limits.window)
        relative = least / np.where(nearby < floor, floor, nearby)
        inner = relative[EDGE:-EDGE, EDGE:-EDGE]
        found: Booleans = relative > np.nanpercentile(inner, limits.percent)
    return found | np.isnan(least) if limits.without_neighbours else found
