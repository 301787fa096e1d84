"""Types of the arrays that steps exchange, and the few operations that several of them share."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from stpipe.models.protocols import Bits, Booleans, Doubles, Floats, GroupBits

__all__ = [
    "Bits",
    "Booleans",
    "Doubles",
    "Floats",
    "GroupBits",
    "Item",
    "bits_where",
    "has",
    "known_or_zero",
    "or_where",
    "rows_of",
]

Item = TypeVar("Item", bound=np.generic)
Numbers = TypeVar("Numbers", bound=Floats | Doubles)


def has(flags: Bits | GroupBits, bits: int) -> Booleans:
    """Where any of `bits` is set.

    Parameters
    ----------
    flags : (...) uint32 or uint8
    bits : int

    Returns
    -------
    (...) bool
    """
    found: Booleans = (flags & bits) != 0
    return found


def bits_where(where: Booleans, bits: int) -> Bits:
    """Pixel flags with `bits` where asked and none elsewhere.

    Parameters
    ----------
    where : (...) bool
    bits : int

    Returns
    -------
    (...) uint32
    """
    return np.where(where, np.uint32(bits), np.uint32(0))


def or_where(flags: GroupBits, where: Booleans, bits: int) -> None:
    """Set `bits` of group `flags`, in place, where asked; one pass without branches.

    Parameters
    ----------
    flags : (...) uint8
    where : (...) bool
    bits : int
    """
    flags |= where.view(np.uint8) * np.uint8(bits)


def known_or_zero(values: Numbers) -> Numbers:
    """The values with 0 where they are NaN; the same array where none is.

    Parameters
    ----------
    values : (...) float32 or float64

    Returns
    -------
    (...) of the dtype of `values`
    """
    unknown = np.isnan(values)
    known: Any = np.where(unknown, values.dtype.type(0), values) if unknown.any() else values
    return cast("Numbers", known)


def rows_of(array: npt.NDArray[Item]) -> npt.NDArray[Item]:
    """The array with contiguous columns, as the kernels read it.

    Parameters
    ----------
    array : (..., columns)

    Returns
    -------
    (..., columns) of the dtype of `array`
        The array itself where its columns are contiguous, else a copy.
    """
    return array if array.strides[-1] == array.itemsize else np.ascontiguousarray(array)
