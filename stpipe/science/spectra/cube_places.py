"""Where a source is in a cube, in pixels from 0: by what is seen, or by its coordinates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.sources.star_finder import filled

if TYPE_CHECKING:
    from gwcs import WCS

    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = [
    "brightest_star",
    "nearest_spaxel",
    "on_sky",
    "pixel_at",
    "plane_wavelengths",
    "spaxel_width",
]

FWHM = 3.0  # of stars, pixels
THRESHOLD = 3.0  # noises
SIGMA = FWHM / 2.3548
OFTEN = 0.5  # of the planes that a spaxel is seen in, over those of the best one


def plane_wavelengths(wcs: WCS, shape: tuple[int, ...]) -> Doubles:
    """Wavelength of every plane of a cube of `shape` (planes, rows, columns), um."""
    planes = np.arange(shape[0], dtype=np.float64)
    x, y = (np.full(shape[0], size / 2.0) for size in (shape[2], shape[1]))
    found: Doubles = np.asarray(wcs(x, y, planes)[2], np.float64)
    return found


def spaxel_width(wcs: WCS, shape: tuple[int, ...]) -> float:
    """Width of a spaxel in the middle of a cube, arcsec: the root of its area."""
    from astropy.coordinates import angular_separation

    x, y = shape[2] / 2.0, shape[1] / 2.0
    ra, dec, _ = np.deg2rad(wcs(np.array([x, x + 1, x]), np.array([y, y, y + 1]), np.zeros(3)))
    sides = [angular_separation(ra[0], dec[0], ra[n], dec[n]) for n in (1, 2)]
    return float(3600 * np.rad2deg(np.sqrt(sides[0] * sides[1])))


def brightest_star(data: Floats, weight: Floats) -> tuple[float, float] | None:
    """Column and row of the brightest star in the median of planes; None if none is found.

    DAOFIND: Stetson 1987, PASP 99, 191. Spaxels that are seen in less than half as many planes as the
    best one are left out: the noise at the borders is no star.

    Parameters
    ----------
    data, weight : (planes, rows, columns) float32
        What is seen has a weight.
    """
    from astropy.stats import sigma_clipped_stats
    from photutils.detection import DAOStarFinder

    seen = np.isfinite(data) & (weight > 0)
    often = seen.sum(axis=0)
    good: Booleans = often > OFTEN * often.max(initial=0)
    if not good.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spaxels without data, and that there is no star
        image = np.nanmedian(np.where(seen, data, np.nan), axis=0).astype(np.float64)
        _, level, noise = sigma_clipped_stats(image[good])
        finder = DAOStarFinder(threshold=THRESHOLD * float(noise), fwhm=FWHM)
        above = filled(np.where(good, image - level, 0.0), good, SIGMA)
        found = finder(above, mask=~good)
    if found is None:
        return None
    best = found[int(np.argmax(found["flux"]))]
    return float(best["x_centroid"]), float(best["y_centroid"])


def nearest_spaxel(
    wcs: WCS, shape: tuple[int, ...], ra: float, dec: float
) -> tuple[float, float] | None:
    """Column and row of the spaxel that is nearest to a place on the sky (degrees).

    None where that is at the border: then the place is not in the cube.
    """
    rows, columns = np.indices(shape[1:], dtype=np.float64)
    there = _unit(*wcs(columns, rows, np.full(rows.shape, float(shape[0] // 2)))[:2])
    distance = ((there - _unit(ra, dec)) ** 2).sum(axis=-1)
    if not np.isfinite(distance).any():
        return None
    row, column = np.unravel_index(np.nanargmin(distance), distance.shape)
    inside = 0 < row < shape[1] - 1 and 0 < column < shape[2] - 1
    return (float(column), float(row)) if inside else None


def pixel_at(wcs: WCS, shape: tuple[int, ...], ra: float, dec: float) -> tuple[float, float] | None:
    """Column and row of a place on the sky (degrees); None outside the cube."""
    middle = float(plane_wavelengths(wcs, shape)[shape[0] // 2])
    x, y, _ = (float(axis) for axis in wcs.invert(ra, dec, middle, with_bounding_box=False))
    inside = 0 <= x + 0.5 <= shape[2] and 0 <= y + 0.5 <= shape[1]
    return (x, y) if inside else None


def on_sky(wcs: WCS, shape: tuple[int, ...], x: float, y: float) -> tuple[float, float]:
    """Right ascension and declination (degrees) of a pixel in the middle plane of a cube."""
    ra, dec, _ = (float(axis) for axis in wcs(x, y, float(shape[0] // 2)))
    return ra, dec


def _unit(ra: float | Doubles, dec: float | Doubles) -> Doubles:
    """Unit vectors (..., 3) of places on the sky in degrees."""
    ra, dec = np.deg2rad(ra), np.deg2rad(dec)
    parts = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)
    return np.stack(parts, axis=-1)
