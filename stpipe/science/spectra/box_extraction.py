"""Sum the light in an aperture along a spectrum, above a background that is fitted beside it.

Arrays are turned so that their last two axes are along the dispersion and across it; axes before
those are integrations. At every pixel along the dispersion the result is a sum over the pixels
across it; the background is a linear combination of pixels too, so that variances follow from the
squares of its coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.science.arrays import Booleans, Doubles

__all__ = ["Background", "Extraction", "extract", "inverses", "smooth", "weighted"]

MEDIAN_OVER_MEAN = 1.2  # error of a median over that of a mean, of some ten values
SINGULAR = 1e10  # condition of a matrix that is not solved


@dataclass(frozen=True)
class Background:
    """Where, and how, the background is estimated.

    Attributes
    ----------
    region
        Pixels (along, across) that are not 0 count.
    bkg_fit
        `poly` or `median`.
    bkg_order
        Degree of the polynomials across the dispersion.
    smoothing_length
        Pixels along the dispersion, odd, that are averaged first; 0 for none.
    """

    region: Doubles
    bkg_fit: str = "poly"
    bkg_order: int = 0
    smoothing_length: int = 0


@dataclass(frozen=True)
class Extraction:
    """Sums over an aperture (..., along): light above the background, and background.

    `variance` and `background_variance` have an entry for each kind of noise. `npixels` is the sum
    of the weights of the pixels that have a value; without any the flux is NaN. `scene` is an image
    (..., along, across) of what was found: background, and light as it is spread over the aperture.
    """

    flux: Doubles
    variance: dict[str, Doubles]
    background: Doubles
    background_variance: dict[str, Doubles]
    npixels: Doubles
    scene: Doubles


def extract(
    image: Doubles,
    variances: Mapping[str, Doubles],
    weights: Doubles,
    background: Background | None = None,
) -> Extraction:
    """The sum of image times weights, at every pixel along the dispersion.

    Parameters
    ----------
    image : (..., along, across) float64
        In any unit; NaN counts as missing.
    variances : mapping of (..., along, across) float64
        Of the image, by kind of noise, in the square of its unit.
    weights : (along, across) float64
        How much of each pixel is in the aperture, 0 to 1.
    background : Background, optional
        What is subtracted first.

    Returns
    -------
    Extraction
        In the unit of the image.
    """
    if background is None:
        level, share = np.zeros(1), np.zeros(1)
    else:
        known = np.isfinite(image) & np.isfinite(sum(variances.values()))
        level, share = _level(image, known, weights, background)
    above = image - level
    used = np.where(np.isfinite(above), weights, 0.0)
    npixels = used.sum(axis=-1)
    flux = weighted(above, used)
    under = weighted(np.broadcast_to(level, image.shape), used)
    spread = {name: weighted(v, share**2) for name, v in variances.items()}
    mean = np.divide(flux, npixels, out=np.zeros(flux.shape), where=npixels > 0)
    return Extraction(
        flux=np.where(np.isclose(npixels, 0), np.nan, flux),
        variance={n: weighted(v, used**2) + spread[n] for n, v in variances.items()},
        background=np.where(np.isfinite(under), under, 0.0),
        background_variance=spread,
        npixels=npixels,
        scene=level + mean[..., np.newaxis] * used,
    )


def weighted(values: Doubles, weights: Doubles) -> Doubles:
    """Sum across the dispersion; values without weight, or that are NaN, do not count.

    Parameters
    ----------
    values, weights : (..., along, across) float64

    Returns
    -------
    (..., along) float64
    """
    counts = (weights != 0) & ~np.isnan(values)
    product = np.multiply(values, weights, out=np.zeros(values.shape), where=counts)
    found: Doubles = product.sum(axis=-1)
    return found


def _level(
    image: Doubles, known: Booleans, weights: Doubles, background: Background
) -> tuple[Doubles, Doubles]:
    """Background (..., along, across), and the share that each pixel has in its sum.

    The sum of the background over the aperture is the sum of image times share.
    """
    seen = smooth(image, background.smoothing_length)
    inside = background.region != 0
    if background.bkg_fit == "median":
        return _median(seen, known, weights, inside)
    used = (inside & known & np.isfinite(seen)).astype(np.float64)
    return _polynomial(np.where(used, seen, 0.0), used, weights, background.bkg_order)


def _median(
    seen: Doubles, known: Booleans, weights: Doubles, inside: Booleans
) -> tuple[Doubles, Doubles]:
    values = np.where(inside & np.isfinite(seen), seen, np.nan)
    empty = np.isnan(values).all(axis=-1, keepdims=True)
    # Of nothing there is no median; warnings about it are spared.
    level = np.nanmedian(np.where(empty, 0.0, values), axis=-1, keepdims=True)
    used = (inside & known).astype(np.float64)
    count = used.sum(axis=-1, keepdims=True)
    share = used / np.maximum(count, 1) * weights.sum(axis=-1, keepdims=True)
    return np.where(empty, np.nan, level), MEDIAN_OVER_MEAN * share


def _polynomial(
    seen: Doubles, used: Doubles, weights: Doubles, bkg_order: int
) -> tuple[Doubles, Doubles]:
    """Least squares, all used pixels alike; 0 where there are too few of them."""
    across = seen.shape[-1]
    terms = np.vander(np.linspace(-1, 1, across), bkg_order + 1, increasing=True)
    products = (terms[:, :, np.newaxis] * terms[:, np.newaxis, :]).reshape(across, -1)
    matrices = (used @ products).reshape(*used.shape[:-1], bkg_order + 1, bkg_order + 1)
    inverse, _ = inverses(matrices)
    level = _times(inverse, (seen * used) @ terms) @ terms.T
    return level, used * (_times(inverse, weights @ terms) @ terms.T)


def inverses(matrices: Doubles) -> tuple[Doubles, Booleans]:
    """Inverse matrices; 0 where there is none to speak of.

    Parameters
    ----------
    matrices : (..., n, n) float64

    Returns
    -------
    inverses : (..., n, n) float64
    solved : (...) bool
        Where there is one: the condition of the matrix is below 1e10.
    """
    solved = np.linalg.cond(matrices) < SINGULAR
    inverse = np.zeros_like(matrices)
    inverse[solved] = np.linalg.inv(matrices[solved])
    return inverse, solved


def _times(matrices: Doubles, vectors: Doubles) -> Doubles:
    found: Doubles = (matrices @ vectors[..., np.newaxis])[..., 0]
    return found


def smooth(image: Doubles, length: int) -> Doubles:
    """Means of `length` pixels along the dispersion; what is NaN does not count.

    Beyond its ends the image goes on as it ends.

    Parameters
    ----------
    image : (..., along, across) float64
    length : int, pixels
        Odd; up to 1 nothing is done.

    Returns
    -------
    (..., along, across) float64
        NaN where nothing counts.
    """
    if length <= 1:
        return image
    known = np.isfinite(image)
    counts = _boxes(known.astype(np.float64), length)
    sums = _boxes(np.where(known, image, 0.0), length)
    found: Doubles = np.divide(sums, counts, out=np.full(image.shape, np.nan), where=counts > 0)
    return found


def _boxes(image: Doubles, length: int) -> Doubles:
    """Sums of `length` neighbours along the dispersion, exact to rounding."""
    half = length // 2
    edges = [(0, 0)] * (image.ndim - 2) + [(half, half), (0, 0)]
    padded: Any = np.pad(image, edges, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=-2)
    return np.asarray(windows.sum(axis=-1))
