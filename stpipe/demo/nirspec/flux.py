"""How much light makes how many counts."""

from __future__ import annotations

from typing import Final

import numpy as np

from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.rays import BAND, Doubles, Opening
from stpipe.demo.nirspec.transforms import SKY_SCALE
from stpipe.demo.optics import ARCSEC2

__all__ = ["MEGAJANSKY", "conversion", "pixel_area", "response"]

MEGAJANSKY: Final = 2.7e-11
"""MJy of 1 DN/s at 1.4 um, of a mirror of 25 m2 that a third of the photons survive."""


def response(wavelength: Doubles) -> Doubles:
    """Conversion at a wavelength in m over that at 1.4 um; NaN outside the band."""
    relative = 1 - 0.2 * (wavelength * 1e6 - 1.4) + 0.5 * (wavelength * 1e6 - 1.4) ** 2
    return np.where((wavelength >= BAND[0]) & (wavelength <= BAND[1]), relative, np.nan)


def conversion(wavelength: Doubles) -> Doubles:
    """MJy of 1 DN/s at a wavelength in m; NaN outside the band."""
    return MEGAJANSKY * response(wavelength)


def pixel_area(opening: Opening) -> float:
    """Area on the sky that a pixel sees through a slit: its width times the pixel's height, sr."""
    scale = SKY_SCALE * 3600  # arcsec/m
    return opening.width * scale * rays.PITCH * rays.COLLIMATOR / rays.CAMERA * scale * ARCSEC2
