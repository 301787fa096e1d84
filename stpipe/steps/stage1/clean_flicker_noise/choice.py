"""Choose how to clean an image of NIRCam or NIRISS from what it looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.background.levels import Clipping, background_level, clip_to_background

if TYPE_CHECKING:
    from stpipe.science.arrays import Floats

__all__ = ["Limits", "Looks", "choose", "decide", "looks_of"]

SIZE = 2048
OUTPUTS = 4
MIDDLE = (3 / 8, 5 / 8)  # of the rows or columns that are averaged
FIRST_OUTPUT = (10 / 12, 11 / 12)  # of NIRISS, which differs most from the others


@dataclass(frozen=True)
class Looks:
    """What an image looks like, in its own units."""

    masked: float  # share of pixels that are sources
    offset: float  # largest step between neighbouring outputs
    slope: float  # steepest of both axes, per pixel
    slope_ratio: float  # of the steeper to the other
    spread: float  # around a line, of means across the outputs


@dataclass(frozen=True)
class Limits:
    """From where on looks are called high."""

    masked: float
    slope_with_offset: float
    slope_ratio: float
    offset: float = 0.07
    slope: float = 1e-5
    spread: float = 0.02


LIMITS = {
    "NIS_IMAGE": Limits(masked=0.07, slope_with_offset=1e-4, slope_ratio=5.0),
    "NRC_IMAGE": Limits(masked=0.1, slope_with_offset=1e-5, slope_ratio=3.0),
}


def choose(image: Floats, flat: Floats | None, axis: int, kind: str) -> tuple[str, bool]:
    """Background method and whether to clean by channel, for a draft rate (rows, columns)."""
    return decide(looks_of(image, flat, axis, kind), LIMITS[kind])


def decide(looks: Looks, limits: Limits) -> tuple[str, bool]:
    """A steep background wants a model, stepped outputs want to be cleaned by themselves."""
    stepped = looks.offset >= limits.offset
    steep = looks.slope >= (limits.slope_with_offset if stepped else limits.slope)
    if looks.masked >= limits.masked:
        return ("model" if steep else "median"), False
    if stepped:
        return "median", True
    certain = looks.slope >= limits.slope_with_offset or looks.slope_ratio < limits.slope_ratio
    by_channel = looks.offset > 0 and looks.spread >= limits.spread
    return ("model" if steep and certain else "median"), by_channel


def looks_of(image: Floats, flat: Floats | None, axis: int, kind: str) -> Looks:
    """Looks of an image after a quick cleaning, with sources replaced by the background."""
    cleaned, masked = _without_sources(image if flat is None else image / flat, axis)
    along_columns, along_rows = _mean(cleaned, 0, MIDDLE), _mean(cleaned, 1, MIDDLE)
    _, spread = _line(along_columns)
    slopes = np.abs([_line(along_columns)[0], _line(along_rows)[0]])
    across = along_columns
    if kind == "NIS_IMAGE":
        across = along_rows
        _, spread = _line(_mean(cleaned, 0, FIRST_OUTPUT))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = slopes.max() / slopes.min()
    return Looks(masked, _largest_step(across), float(slopes.max()), float(ratio), spread)


def _without_sources(image: Floats, axis: int) -> tuple[Floats, float]:
    """The image cleaned along `axis` with the background in place of sources, and their share."""
    from stpipe.science.background.stripes import stripes

    mask = np.ones(image.shape, dtype=bool)
    clip_to_background(image, mask, Clipping())
    unknown = np.isnan(image)
    values = np.where(unknown, np.float32(0), image)
    mask &= ~unknown
    level = background_level(values, mask)
    clip_to_background(values - level, mask, Clipping(lower_half=True))
    cleaned = values - level - stripes(values - level, mask, axis) + level
    cleaned[unknown] = np.nan
    background = background_level(cleaned, mask, "model")
    return np.where(mask, cleaned, background), float((~mask).sum() / mask.size)


def _mean(image: Floats, axis: int, part: tuple[float, float]) -> Floats:
    """Mean along an axis of a part of it."""
    start, stop = (round(share * image.shape[axis]) for share in part)
    mean: Floats = np.nanmean(np.moveaxis(image, axis, 0)[start:stop], axis=0)
    return mean


def _line(values: Floats) -> tuple[float, float]:
    """Slope of a line through finite values, and their clipped spread around it."""
    from astropy.stats import sigma_clipped_stats

    at = np.flatnonzero(np.isfinite(values))
    line = np.polynomial.Polynomial.fit(at, values[at], deg=1)
    _, _, spread = sigma_clipped_stats(values[at] - line(at), sigma=10.0)
    coefficients = line.convert().coef
    return (float(coefficients[1]) if len(coefficients) > 1 else 0.0), float(spread)


def _largest_step(values: Floats) -> float:
    """Largest difference between the means of neighbouring outputs; 0 for subarrays."""
    from astropy.stats import sigma_clipped_stats

    if values.size != SIZE:
        return 0.0
    means = [sigma_clipped_stats(part, sigma=3.0)[0] for part in np.split(values, OUTPUTS)]
    return float(np.abs(np.diff(means)).max())
