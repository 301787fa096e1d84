"""Pixels without a value say so everywhere: NaN in every array, DO_NOT_USE in the flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has

if TYPE_CHECKING:
    from stpipe.models.protocols import Exposure
    from stpipe.science.arrays import Bits, Floats

__all__ = ["VALUES", "assign", "match_invalid", "values_of"]

VALUES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


def values_of(image: Exposure) -> dict[str, Floats]:
    """The arrays of an image that have a value for every pixel, by name.

    Parameters
    ----------
    image : Exposure

    Returns
    -------
    dict of ([integrations,] rows, columns) float32
        Those of data, err and the variances that there are, in the image's unit or its square.
    """
    return {name: getattr(image, name) for name in VALUES if image.has(name)}


def match_invalid(values: dict[str, Floats], dq: Bits) -> tuple[dict[str, Floats], Bits]:
    """Values and flags with NaN and DO_NOT_USE wherever one of them has it.

    Parameters
    ----------
    values : dict of (...) float32
        Arrays of one shape, by name.
    dq : (...) uint32
        Pixel flags of that shape.

    Returns
    -------
    values : dict of (...) float32
    dq : (...) uint32
    """
    invalid = has(dq, dqflags.DO_NOT_USE)
    for array in values.values():
        invalid |= np.isnan(array)
    marked = {n: np.where(invalid, np.float32(np.nan), array) for n, array in values.items()}
    return marked, dq | bits_where(invalid, dqflags.DO_NOT_USE)


def assign(image: Exposure, values: dict[str, Floats], dq: Bits) -> None:
    """Give an image new values and flags, with invalid pixels invalid in all of them.

    Parameters
    ----------
    image : Exposure
    values : dict of ([integrations,] rows, columns) float32
        By the name of the array.
    dq : ([integrations,] rows, columns) uint32
    """
    values, image.dq = match_invalid(values, dq)
    for name, array in values.items():
        setattr(image, name, array)
