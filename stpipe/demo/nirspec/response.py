"""How much light makes how many counts: what slits let pass, flats, sensitivity.

Wavelengths are in m. What passes a slit is linear between the points of its reference file, and all
of the rest varies slowly against its own: what a calibration interpolates is exact.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.rays import BAND, Doubles, Opening
from stpipe.demo.nirspec.transforms import SKY_SCALE
from stpipe.demo.optics import ARCSEC2

__all__ = [
    "MEGAJANSKY",
    "conversion",
    "fore_optics",
    "passing_nebula",
    "passing_star",
    "pixel_area",
    "sensitivity",
    "spectrograph",
]

MEGAJANSKY: Final = 2.7e-11
"""MJy of 1 DN/s at 1.4 um, of a mirror of 25 m2 that a third of the photons survive."""


def sensitivity(wavelength: Doubles) -> Doubles:
    """Conversion at a wavelength over that at 1.4 um; NaN outside the band."""
    offset = wavelength * 1e6 - 1.4
    relative = 1 - 0.2 * offset + 0.5 * offset**2
    return np.where((wavelength >= BAND[0]) & (wavelength <= BAND[1]), relative, np.nan)


def conversion(wavelength: Doubles) -> Doubles:
    """MJy of 1 DN/s; NaN outside the band."""
    return MEGAJANSKY * sensitivity(wavelength)


def pixel_area(opening: Opening) -> float:
    """Area on the sky that a pixel sees through a slit: its width times the pixel's height, sr."""
    scale = SKY_SCALE * 3600  # arcsec/m
    return opening.width * scale * rays.PITCH * rays.COLLIMATOR / rays.CAMERA * scale * ARCSEC2


def passing_star(wavelength: Doubles, place: tuple[float, float]) -> Doubles:
    """Part of a star's light that passes a slit, by its place in widths and heights."""
    x, y = place
    found: Doubles = (1 - 0.3 * abs(x)) * (1 - 0.1 * abs(y)) * (1 - 0.08 * wavelength * 1e6)
    return found


def passing_nebula(wavelength: Doubles) -> Doubles:
    """Part of the light that passes of what fills the slit."""
    found: Doubles = 0.97 - 0.05 * wavelength * 1e6
    return found


def fore_optics(wavelength: Doubles) -> Doubles:
    """Throughput of the fore optics over its mean: fringes of a filter."""
    found: Doubles = 1 + 0.03 * np.sin(2 * np.pi * wavelength / 0.15e-6)
    return found


def spectrograph(column: Doubles, row: Doubles) -> Doubles:
    """Throughput of the spectrograph over its mean, by 0-based pixel of the full frame."""
    found: Doubles = 1 + 0.04 * np.sin(column / 300) + 0.03 * np.cos(row / 120)
    return found
