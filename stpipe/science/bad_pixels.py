"""Bad pixels that stand out from their neighbours in all exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Booleans, Floats

__all__ = ["Outlying", "running_median"]

BAND = 32  # rows whose windows are in memory at a time


@dataclass(frozen=True)
class Outlying:
    """Which pixels of an image stand out.

    Attributes
    ----------
    lower, upper : float
        Shares of pixels that stand out downwards and upwards.
    window : (int, int)
        Rows and columns of the neighbours, odd numbers.
    """

    lower: float
    upper: float
    window: tuple[int, int]

    def __call__(self, image: Floats) -> Booleans:
        """The pixels that do.

        Parameters
        ----------
        image : (rows, columns) float32
            The least of all exposures, pixel by pixel, in any unit; NaN does not count.

        Returns
        -------
        (rows, columns) bool
        """
        residual = image - running_median(image, self.window)
        low, high = np.nanpercentile(residual, [100 * self.lower, 100 * (1 - self.upper)])
        found: Booleans = (residual > high) | (residual < low)
        return found


def running_median(image: Floats, window: tuple[int, int]) -> Floats:
    """The median around each pixel; beyond the edges there are zeros, as in jwst.

    Parameters
    ----------
    image : (rows, columns) float32
        In any unit; NaN does not count.
    window : (int, int)
        Rows and columns that are taken together, odd numbers.

    Returns
    -------
    (rows, columns) float32
        NaN where all are.
    """
    padded = np.pad(image, [(size // 2, size // 2) for size in window])
    medians = np.empty_like(image)
    for start in range(0, len(image), BAND):
        rows = padded[start : start + BAND + window[0] - 1]
        around = np.lib.stride_tricks.sliding_window_view(rows, window)
        medians[start : start + BAND] = _medians(around.reshape(*around.shape[:2], -1))
    return medians


def _medians(values: Floats) -> Floats:
    """Medians along the last axis, without NaN."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    lower, upper = np.maximum(count - 1, 0) // 2, count // 2
    middle: Floats = np.mean(
        [np.take_along_axis(ordered, at, axis=-1)[..., 0] for at in (lower, upper)], axis=0
    )
    return middle
