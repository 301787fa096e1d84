"""Levels of images without their sources: which pixels are background, and how high it is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = ["Clipping", "background_level", "clip_to_background", "quiet"]

LIMIT = 3.0  # sigma of what counts for mean and spread
LARGEST_BOX = 32
SMOOTHED_BOXES = 5
BINS = 2000
WIDTHS = 4.0  # sigma to each side that the histogram reaches


@dataclass(frozen=True)
class Clipping:
    """Which pixels are too far from the background to belong to it.

    Attributes
    ----------
    lower, upper
        Sigma below and above the center that are background.
    fit_histogram
        Center and sigma are those of a Gauss curve fitted to a histogram.
    lower_half
        The lower half of the values decides, mirrored, since sources make the upper half wide.
    """

    lower: float = LIMIT
    upper: float = 2.0
    fit_histogram: bool = False
    lower_half: bool = False


def clip_to_background(image: Floats | Doubles, mask: Booleans, clipping: Clipping) -> None:
    """Take pixels that are no background out of `mask` (rows, columns), in place.

    Parameters
    ----------
    image : (rows, columns) float32 or float64
        In any unit.
    mask : (rows, columns) bool
        True where there may be background.
    clipping : Clipping
        What is too far from it.
    """
    if not mask.any():
        return
    values = np.asarray(image, dtype=np.float64)
    center, sigma = _clipped(values, clipping, mask=~mask)
    chosen = values[mask]
    if clipping.lower_half:
        half = values[mask & (values <= center)]
        chosen = np.concatenate([half - center, center - half]) + center
        center, sigma = _clipped(chosen, clipping)
    if clipping.fit_histogram:
        center, sigma = _fitted(chosen, center, sigma)
    mask[values < center - clipping.lower * sigma] = False
    mask[values > center + clipping.upper * sigma] = False


def _clipped(
    values: Doubles, clipping: Clipping, mask: Booleans | None = None
) -> tuple[float, float]:
    """Center and spread of what iterative clipping leaves."""
    from astropy.stats import sigma_clipped_stats

    with quiet():
        mean, median, sigma = sigma_clipped_stats(values, sigma=LIMIT, mask=mask)
    return (mean if clipping.fit_histogram else median), sigma


@contextmanager
def quiet() -> Iterator[None]:
    """Values that are not finite, or none left, are no reason for a warning here.

    Yields
    ------
    None
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _fitted(values: Doubles, center: float, sigma: float) -> tuple[float, float]:
    """Center and sigma of a Gauss curve through the histogram; those given when there is none."""
    from scipy.optimize import curve_fit

    reach = center - WIDTHS * sigma, center + WIDTHS * sigma
    try:
        counts, edges = np.histogram(values, bins=BINS, range=reach)
        middles = (edges[1:] + edges[:-1]) / 2
        peak = int(np.argmax(counts))
        start = counts[peak], middles[peak], sigma
        bounds = [(0, middles[0], 0), (np.inf, middles[-1], middles[-1] - middles[0])]
        found, _ = curve_fit(_gauss, middles, counts, p0=start, bounds=bounds)
    except (ValueError, RuntimeError):  # nothing to make a histogram of, or no convergence
        return center, sigma
    return float(found[1]), float(found[2])


def _gauss(x: Doubles, height: float, center: float, sigma: float) -> Doubles:
    curve: Doubles = height * np.exp(-0.5 * ((x - center) / sigma) ** 2)
    return curve


def background_level(
    image: Floats, mask: Booleans, method: str = "median", box: tuple[int, int] | None = None
) -> Floats | np.float32:
    """The background: its median, or with the method `model` an image in low resolution.

    Parameters
    ----------
    image : (rows, columns) float32
        In any unit.
    mask : (rows, columns) bool
        True where there may be background; more sources are taken out of it, in place.
    method : {"median", "model"}
    box : (rows, columns), optional
        Pixels that make a value of the model; by default the largest up to 32 that divides the image.

    Returns
    -------
    float32 or (rows, columns) float32
        In the unit of the image. The median also where no box has enough pixels for a model.
    """
    rules = Clipping(LIMIT, LIMIT, lower_half=True)
    clip_to_background(image, mask, rules)
    model = _modelled(image, mask, box) if method == "model" else None
    if model is not None:
        return model
    with quiet():
        return np.nanmedian(image[mask])


def _modelled(image: Floats, mask: Booleans, box: tuple[int, int] | None) -> Floats | None:
    """Medians of boxes, smoothed and interpolated; None where no box has enough pixels."""
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MedianBackground

    try:
        with quiet():
            found: Floats = Background2D(
                image,
                box_size=box or tuple(_largest_divisor(size) for size in image.shape),
                filter_size=(SMOOTHED_BOXES, SMOOTHED_BOXES),
                mask=~mask,
                sigma_clip=SigmaClip(sigma=LIMIT, maxiters=5),
                bkg_estimator=MedianBackground(),
            ).background
            return found
    except ValueError:
        return None


def _largest_divisor(size: int) -> int:
    return max(n for n in range(1, LARGEST_BOX + 1) if size % n == 0)
