"""Which pixels of an exposure differ too much from what the median of all makes expect."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gwcs import WCS

    from stpipe.science.arrays import Booleans, Floats
    from stpipe.science.mosaics.sky_grid import Grid

__all__ = ["Limits", "blot", "outliers", "steepness"]


@dataclass(frozen=True)
class Limits:
    """Errors that pixels may differ by, and steepness that is allowed for: alone, and next to one."""

    snr: float
    snr_beside: float
    scale: float
    scale_beside: float


def blot(median: Floats, grid: Grid, wcs: WCS, shape: tuple[int, int]) -> Floats:
    """The median at the pixels of an exposure, interpolated linearly; NaN outside."""
    from drizzle.resample import blot_image

    places = grid.places(wcs, shape)
    places[np.isnan(places)] = -1  # outside the mosaic
    made = np.full(shape, np.nan, dtype=np.float32)
    blot_image(
        data=median, pixmap=places, out_img=made, fillval=np.nan, iscale=1.0, interp="linear"
    )
    return made


def outliers(data: Floats, err: Floats, expected: Floats, limits: Limits) -> Booleans:
    """Pixels (rows, columns) that differ too much from what is expected."""
    from scipy.ndimage import binary_dilation

    noise, slope = np.nan_to_num(err), steepness(expected)
    difference = np.abs(data - expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN is no outlier
        far = difference > limits.scale * slope + limits.snr * noise
        near = difference > limits.scale_beside * slope + limits.snr_beside * noise
    beside: Booleans = binary_dilation(far, np.ones((3, 3), dtype=bool)) & near
    return beside


def steepness(image: Floats) -> Floats:
    """Largest difference of each pixel from its four neighbours; those that are NaN do not count."""
    steep = np.where(np.isnan(image), np.float32(np.nan), np.float32(0))
    for axis in (0, 1):
        rise = np.abs(np.diff(image, axis=axis))
        here = [slice(None)] * 2
        for part in (slice(None, -1), slice(1, None)):
            here[axis] = part
            steep[tuple(here)] = np.where(
                np.isnan(rise), steep[tuple(here)], np.maximum(steep[tuple(here)], rise)
            )
    return steep
