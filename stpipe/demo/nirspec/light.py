"""The light of the sources on the detector.

A pixel sees the wavelength of its middle; what the grating blurs is a part of the source's spectrum.
Across the dispersion a star is a Gaussian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stpipe.demo.detectors import FULL, Detector, Subarray
from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.response import (
    conversion,
    fore_optics,
    passing_nebula,
    passing_star,
    pixel_area,
    spectrograph,
)
from stpipe.demo.nirspec.settings import SKY, Slit

if TYPE_CHECKING:
    from stpipe.demo.nirspec.rays import Doubles, Opening
    from stpipe.demo.nirspec.settings import Setting, Source

__all__ = ["WIDTH", "light"]

WIDTH: Final = 0.85
"""Standard deviation of a star's profile across the dispersion, pixels."""
EDGE: Final = 3
"""Rows beyond a slit that are looked at."""


def light(detector: Detector, subarray: Subarray, setting: Setting) -> Doubles:
    """Light that each pixel receives, e-/s, shape (ny, nx); 0 outside the slits."""
    image = np.zeros(subarray.shape)
    failed = (Slit("", shutters.opening, None, shutters) for shutters in setting.failed)
    for slit in (*setting.slits, *failed):
        rows, columns = _box(slit.opening, subarray)
        image[rows, columns] += _of_slit(slit, subarray, (rows, columns))
    scale = 1.0 if subarray.name == FULL else detector.gain_factor
    return image * detector.gain / (scale or 1.0)


def _box(opening: Opening, subarray: Subarray) -> tuple[slice, slice]:
    """Rows and columns of the subarray that light of a slit may fall on."""
    waves = np.linspace(*rays.BAND, 50)
    ends = [rays.to_pixels(opening, 0.0, end, waves) for end in (opening.low, opening.high)]
    x = np.concatenate([end[0] for end in ends]) - (subarray.xstart - 1)
    y = np.concatenate([end[1] for end in ends]) - (subarray.ystart - 1)
    columns = slice(max(0, int(x.min()) - 1), min(subarray.xsize, int(x.max()) + 2))
    rows = slice(max(0, int(y.min()) - EDGE), min(subarray.ysize, int(y.max()) + EDGE + 1))
    return rows, columns


def _of_slit(slit: Slit, subarray: Subarray, box: tuple[slice, slice]) -> Doubles:
    """Count rates (DN/s) of the pixels of a box."""
    y, x = np.mgrid[box].astype(float)
    x, y = x + subarray.xstart - 1, y + subarray.ystart - 1
    place, waves = rays.to_slit(slit.opening, x, y)
    lit = slit.shutters.light(place) if slit.shutters else _between_ends(slit, place)
    found = lit * _filling(SKY, slit, waves)
    if slit.star:
        found += _between_ends(slit, place) * _star(slit, slit.star, x, y)
    elif slit.source:
        found += lit * _filling(slit.source, slit, waves)
    image: Doubles = np.nan_to_num(found * spectrograph(x, y))
    return image


def _between_ends(slit: Slit, place: Doubles) -> Doubles:
    """The part of each pixel that is between the ends of a slit."""
    height = np.abs(np.gradient(place, axis=0))  # of a pixel, in heights of the slit
    ways = [place - slit.opening.low, slit.opening.high - place]
    found: Doubles = np.prod([np.clip(way / height + 0.5, 0, 1) for way in ways], axis=0)
    return found


def _filling(source: Source, slit: Slit, waves: Doubles) -> Doubles:
    """Count rates of light that fills the slit."""
    brightness = source.spectrum(waves * 1e6) * pixel_area(slit.opening)
    throughput = fore_optics(waves) * (1.0 if slit.wide else passing_nebula(waves))
    found: Doubles = brightness * throughput / conversion(waves)
    return found


def _star(slit: Slit, star: Source, x: Doubles, y: Doubles) -> Doubles:
    """Count rates of a star; where it is beside the middle of the slit, colours are shifted."""
    from scipy.special import erf

    at = star.place or (0.0, 0.0)
    across, along = at
    place, waves = rays.to_slit(slit.opening, x, y, across)
    pixels = (place - along) / np.gradient(place, axis=0)
    ends = [(1 + erf((pixels + end) / (np.sqrt(2) * WIDTH))) / 2 for end in (-0.5, 0.5)]
    flux = star.spectrum(waves * 1e6) * 1e-6  # MJy
    throughput = fore_optics(waves) * (1.0 if slit.wide else passing_star(waves, at))
    found: Doubles = (ends[1] - ends[0]) * flux * throughput / conversion(waves)
    return found
