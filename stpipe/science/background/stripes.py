"""Stripes: one level for each row or column of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Booleans, Floats

__all__ = ["stripes"]


def stripes(image: Floats, mask: Booleans, axis: int, outputs: int = 1) -> Floats:
    """Medians of the unmasked pixels along an axis, for each of several parts; 0 without any.

    Parameters
    ----------
    image : (rows, columns) float32
        In any unit.
    mask : (rows, columns) bool
        True where pixels count.
    axis : int
        Of the array, along which medians are taken.
    outputs : int
        Equal parts of that axis with medians of their own.

    Returns
    -------
    (rows, columns) float32
        The medians, each at all pixels that it is of, in the unit of the image.
    """
    values = np.moveaxis(np.where(mask, image, np.nan), axis, -1)
    parts = values.reshape(len(values), outputs, -1)
    known = ~np.isnan(parts)
    parts = np.sort(parts, axis=-1)  # NaN at the end
    count = known.sum(axis=-1)[..., None]
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, parts.shape[-1] - 1)
    middle = (np.take_along_axis(parts, low, -1) + np.take_along_axis(parts, high, -1)) / 2
    level = np.where(count == 0, 0, middle)
    found: Floats = np.moveaxis(np.repeat(level[..., 0], parts.shape[-1], axis=-1), -1, axis)
    return found
