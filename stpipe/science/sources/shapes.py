"""How much sources look like stars: sharpness and roundness of DAOFIND (Stetson 1987, sec. II)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.sources.star_finder import FWHM

if TYPE_CHECKING:
    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = ["sharpness_and_roundness"]

# Radius of the kernel: in standard deviations, and at least, pixels.
REACH, LEAST = 1.5, 2.0


def sharpness_and_roundness(data: Floats, places: Doubles, fwhm: float) -> tuple[Doubles, Doubles]:
    """Both measures of each source; NaN for sources without a place.

    Parameters
    ----------
    data : (rows, columns) float32
        The image, in any unit.
    places : (n, 2: x, y) float64, pixels from 0
    fwhm : float, pixels
        Full width at half maximum of stars.

    Returns
    -------
    sharpness, roundness : (n,) float64
    """
    from scipy.ndimage import convolve

    kernel, inside = _kernel(fwhm / FWHM)
    smooth = convolve(data, kernel, mode="constant", cval=0.0)
    image, model = (_cutouts(each, places, len(kernel)) for each in (data, smooth))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _sharpness(image, model, inside), _roundness(model)


def _kernel(sigma: float) -> tuple[Doubles, Booleans]:
    """A Gaussian whose pixels add up to nothing, so that a background does not count."""
    half = int(max(LEAST, REACH * sigma))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    inside = np.hypot(x, y) <= max(LEAST, REACH * sigma)
    shape = np.exp(-0.5 * (x**2 + y**2) / sigma**2) * inside
    count = inside.sum()
    norm = (shape**2).sum() - shape.sum() ** 2 / count
    return (shape - shape.sum() / count) / norm * inside, inside


def _cutouts(image: Floats, places: Doubles, size: int) -> Doubles:
    """Squares (n, size, size) around places; nothing is beyond the image."""
    padded = np.pad(np.asarray(image, np.float64), size)
    known = np.where(np.isfinite(places).all(axis=1, keepdims=True), places, -2.0 * size)
    first = np.ceil(known - size / 2).astype(int) + size
    first = np.clip(first, 0, np.array(image.shape)[::-1] + size)
    columns, rows = (first[:, axis, None] + np.arange(size) for axis in (0, 1))
    cut: Doubles = padded[rows[:, :, None], columns[:, None, :]]
    return cut


def _sharpness(image: Doubles, model: Doubles, inside: Booleans) -> Doubles:
    """The middle pixel above the mean of those around, over the height of the fitted Gaussian."""
    middle = len(inside) // 2
    peak = image[:, middle, middle]
    around = ((image * inside).sum(axis=(1, 2)) - peak) / (inside.sum() - 1)
    found: Doubles = (peak - around) / model[:, middle, middle]
    return found


def _roundness(model: Doubles) -> Doubles:
    """Twice the difference of two pairs of opposite quarters over all of them."""
    middle = model.shape[1] // 2
    cut = model.copy()
    cut[:, middle, middle] = 0
    quarters = (
        -cut[:, : middle + 1, middle + 1 :],
        cut[:, :middle, : middle + 1],
        -cut[:, middle:, :middle],
        cut[:, middle + 1 :, middle:],
    )
    total = np.abs(cut).sum(axis=(1, 2))
    difference = sum(quarter.sum(axis=(1, 2)) for quarter in quarters)
    return np.asarray(2 * difference / np.where(total == 0, np.nan, total))
