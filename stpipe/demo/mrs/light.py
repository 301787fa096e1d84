"""The light of the star and the nebula on the detector.

A pixel sees the wavelength of its middle, and all of the width of its slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stpipe.demo.geometry import is_lit
from stpipe.demo.mrs.scene import nebula, observed, star, width
from stpipe.demo.mrs.slices import CHANNELS, SCALE, SHAPE, Channel, labels, to_v2v3
from stpipe.demo.optics import ARCSEC2

if TYPE_CHECKING:
    from stpipe.demo.detectors import Detector
    from stpipe.demo.mrs.scene import Dither
    from stpipe.demo.mrs.slices import Doubles

__all__ = [
    "EPOCH",
    "HALVES",
    "SCATTERED",
    "conversion",
    "fringes",
    "light",
    "pixel_area",
    "sensitivity",
    "wavelengths",
]

EPOCH: Final = 59_700.0
"""MJD from which sensitivity is lost."""
LOST: Final = ((0.97, 0.93), (0.95, 0.90))
"""Sensitivity that is left at the shortest and the longest wavelength of each channel."""
SCATTERED: Final = (5e-5, 100.0)
"""Part of a pixel's light that reaches its neighbour in the row, and full width of the wing, pixels."""
HALVES: Final = (slice(0, 516), slice(516, 1024))
"""Columns of the channels"""


def light(detector: Detector, dither: Dither, roll: float) -> Doubles:
    """Light that each pixel receives, e-/s, shape (ny, nx); between slices what is scattered."""
    alpha0, beta0 = to_v2v3().inverse(*dither.v2v3(roll))
    image, numbers = np.zeros(SHAPE), labels()
    for channel in CHANNELS:
        for place, number in enumerate(channel.numbers):
            y, x = (axis.astype(float) for axis in np.nonzero(numbers == number))
            alpha, seen = channel.to_place(place, x, y)
            waves = observed(seen)
            within = _part(alpha - alpha0, SCALE, waves) * _part(
                channel.beta(place) - beta0, channel.step, waves
            )
            bright = nebula(waves) + star(waves) * 1e-6 * within / (pixel_area(channel) * ARCSEC2)
            image[numbers == number] = bright
    known = wavelengths()
    image *= fringes(known) * sensitivity(known) / conversion(known)
    image = np.nan_to_num(image) * detector.gain
    image += _scattered(image)
    image[~is_lit(detector, detector.frame)] = 0.0
    return image


def _part(distance: Doubles | float, size: float, waves: Doubles) -> Doubles:
    """The part of a star's light along one axis that falls into a size, arcsec."""
    from scipy.special import erf

    scale = np.sqrt(2) * width(waves)
    found: Doubles = (erf((distance + size / 2) / scale) - erf((distance - size / 2) / scale)) / 2
    return found


def pixel_area(channel: Channel) -> float:
    """What a pixel sees of the sky, arcsec2."""
    return SCALE * channel.step


def wavelengths() -> Doubles:
    """At the detector, um, shape (ny, nx); NaN between slices."""
    numbers = labels()
    found = np.full(SHAPE, np.nan)
    for channel in CHANNELS:
        for place, number in enumerate(channel.numbers):
            y, x = np.nonzero(numbers == number)
            found[y, x] = channel.to_place(place, x.astype(float), y.astype(float))[1]
    return found


def conversion(wavelength: Doubles) -> Doubles:
    """MJy/sr of 1 DN/s."""
    found: Doubles = 14.0 * (1 + 0.08 * (wavelength - 6.5))
    return found


def fringes(wavelength: Doubles) -> Doubles:
    """The pattern of light that is reflected in the detector: about 1, with a period of 2.9 /cm."""
    found: Doubles = 1 + 0.08 * np.sin(2 * np.pi * 1e4 / wavelength / 2.9)
    return found


def sensitivity(wavelength: Doubles) -> Doubles:
    """What is left of it, linear between the ends of a channel."""
    found = np.ones_like(wavelength)
    for channel, left in zip(CHANNELS, LOST, strict=True):
        low, high = channel.limits
        inside = (wavelength >= low) & (wavelength <= high)
        slope = (left[1] - left[0]) / (high - low)
        found[inside] = left[0] + slope * (observed(wavelength[inside]) - low)
    return found


def _scattered(image: Doubles) -> Doubles:
    """What the light of either half sends along its rows."""
    height, full = SCATTERED
    columns = np.arange(SHAPE[1])
    apart = columns[:, np.newaxis] - columns
    wing = height * (full / 2) ** 2 / ((full / 2) ** 2 + apart**2)
    found = np.zeros(SHAPE)
    for half in HALVES:
        found += image[:, half] @ wing[half]
    return found
