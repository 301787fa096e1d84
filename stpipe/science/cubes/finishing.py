"""From sums to a cube: means, errors and flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.science.arrays import Bits, Booleans, Floats
    from stpipe.science.cubes.sums import Sums

__all__ = ["Finished", "finished", "flags_of", "thin_planes"]

OUTSIDE = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE
PERCENTILE, PART = 3, 0.75  # planes of fewer good spaxels than this part of the percentile are torn


@dataclass(frozen=True)
class Finished:
    """The arrays of a cube (planes, rows, columns), and how many planes and spaxels failed."""

    data: Floats
    err: Floats
    dq: Bits
    weightmap: Floats
    thin: int
    holes: int


def finished(sums: Sums, *, thin: bool) -> Finished:
    """Divide sums by weights, and flag where there are none.

    Parameters
    ----------
    sums : Sums
    thin : bool
        Give up planes at the ends of a band that few pixels reach.

    Returns
    -------
    Finished
        NaN where the flags say DO_NOT_USE.
    """
    flux, weight, variance, count = sums.flux, sums.weight, sums.variance, sums.count
    covered = sums.covered
    data, err = (np.full(flux.shape, np.nan, dtype=np.float32) for _ in range(2))
    dq = np.empty(flux.shape, dtype=np.uint32)
    for k in range(len(flux)):
        known = count[k] > 0
        data[k][known] = flux[k][known] / weight[k][known]
        err[k][known] = np.sqrt(variance[k][known]) / weight[k][known]
        dq[k] = flags_of(known, known if covered is None else covered[k])
    few = thin_planes((dq == 0).sum(axis=(1, 2))) if thin else np.zeros(len(flux), dtype=bool)
    data[few], err[few], dq[few] = np.nan, np.nan, OUTSIDE
    weightmap = np.where(few[:, None, None], np.float32(0), count)
    holes = int((dq == dqflags.DO_NOT_USE).sum())
    return Finished(data, err, dq, weightmap, int(few.sum()), holes)


def flags_of(known: Booleans, covered: Booleans) -> Bits:
    """Flags of one plane: 0, DO_NOT_USE for holes, with NON_SCIENCE outside the field of view.

    A hole has no value and lies within the field; at the border of the cube or beside a spaxel outside
    it is outside, too.

    Parameters
    ----------
    known, covered : (rows, columns) bool
        Spaxels with a value; spaxels in the field of view.

    Returns
    -------
    (rows, columns) uint32
    """
    inside = covered | known
    framed = np.pad(inside, 1)
    beside = (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:])
    hole = inside & ~known & np.logical_and.reduce(beside)
    flags = np.where(known, 0, OUTSIDE).astype(np.uint32)
    flags[hole] = dqflags.DO_NOT_USE
    return flags


def thin_planes(good: npt.NDArray[np.int64]) -> Booleans:
    """Planes with far fewer good spaxels than others.

    Parameters
    ----------
    good : (planes,) int
        How many good spaxels each has.

    Returns
    -------
    (planes,) bool
        None of them where no plane has any.
    """
    some = good > 0
    if not some.any():
        return some
    limit = PART * np.percentile(good[some], PERCENTILE)
    found: Booleans = some & (good < limit)
    return found
