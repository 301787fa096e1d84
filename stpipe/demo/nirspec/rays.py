"""Rays of light through NIRSpec, from a slit to a pixel and back, in plain arithmetic.

A place in the plane of the shutters (m) becomes a direction in the collimator, which the grating
wheel sees turned. The grating adds a_out = grooves wavelength - a_in, and mirrors b. The camera makes
it a place on the detector, on slightly bent lines. Numbers are rounded ones of the real instrument
(Jakobsen et al. 2022, Boeker et al. 2023), except that the wheel stands so that the whole band falls
on one detector. The transforms in reference files are the same optics, written down independently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "BAND",
    "BENDS",
    "CAMERA",
    "COLLIMATOR",
    "CORNER",
    "DISPERSION",
    "GROOVES",
    "ORDER",
    "PITCH",
    "SENSOR",
    "VELOCITY",
    "WHEEL",
    "Doubles",
    "Opening",
    "to_pixels",
    "to_slit",
    "wheel",
]

Doubles = npt.NDArray[np.float64]

PITCH: Final = 18e-6
"""Size of a pixel, m."""
CORNER: Final = (-0.0382, -0.0184)
"""Place of the first pixel of NRS1 from the middle between the detectors, m."""
CAMERA: Final = 0.285
"""Focal length of the camera, m; a place over it is the tangent of a direction."""
BENDS: Final = (0.047, 0.02)
"""How much the camera bends rows by the square of x, and columns by that of y, both as tangents."""
COLLIMATOR: Final = 0.635
"""Focal length of the collimator, m."""
GROOVES: Final = 95_400.0
"""Grooves of the grating, per m."""
ORDER: Final = -1
WHEEL: Final = (0.036, 0.017, -0.42, -5.77)
"""Turns of the wheel about x, y, z and y, degrees."""
SENSOR: Final = (0.332, 0.334, -8400.0)
"""The sensor of the wheel: its nominal reading, its reading, and arcsec for a unit of it."""
BAND: Final = (0.97e-6, 1.89e-6)
"""Wavelengths that filter and grating pass, m."""
DISPERSION: Final = PITCH / CAMERA / GROOVES
"""Wavelength along a pixel, about, m."""
VELOCITY: Final = 12_000.0
"""The telescope's towards the target, m/s: light seems bluer than in the barycentre."""
LIGHT: Final = 299_792_458.0
"""Speed of light, m/s."""
SAMPLES: Final = 401
"""Places along a slit between which directions are interpolated."""


@dataclass(frozen=True)
class Opening:
    """A hole in the plane of the shutters.

    Attributes
    ----------
    x, y : float, m
        The centre, or that of a slitlet's main shutter.
    width, height : float, m
        Of a fixed slit or of a shutter.
    low, high : float
        Where it begins and ends, in heights from the centre.
    """

    x: float
    y: float
    width: float
    height: float
    low: float = -0.5
    high: float = 0.5


def wheel() -> Doubles:
    """Matrix (3, 3) that turns directions into the frame of the wheel as it really stands."""
    x, y, z, tilt = np.deg2rad(WHEEL)
    nominal, reading, arcsec = SENSOR
    # Light is reflected, so that half of an error of the wheel counts.
    y += np.deg2rad(0.5 * arcsec * (reading - nominal) / 3600)
    return _about_y(tilt) @ _about_z(z) @ _about_y(y) @ _about_x(x)


def to_pixels(
    opening: Opening, x: npt.ArrayLike, y: npt.ArrayLike, wavelength: npt.ArrayLike
) -> tuple[Doubles, Doubles]:
    """Where light of a place in a slit falls: 0-based column and row of the full frame.

    Parameters
    ----------
    opening : Opening
    x, y : array_like
        Place in widths and heights of the slit from its centre.
    wavelength : array_like, m
        In the barycentre.
    """
    x, y, wavelength = np.broadcast_arrays(x, y, wavelength)
    seen = wavelength * (1 + VELOCITY / LIGHT)
    a, b = _entry(opening, x, y)
    a, b = -ORDER * GROOVES * seen - a, -b
    out = np.array([a, b, np.sqrt(1 - a**2 - b**2)])
    direction = np.tensordot(wheel().T, out, 1)
    u, v = direction[0] / direction[2], direction[1] / direction[2]
    u = u - BENDS[1] * v**2
    v = v - BENDS[0] * u**2
    return (u * CAMERA - CORNER[0]) / PITCH, (v * CAMERA - CORNER[1]) / PITCH


def to_slit(
    opening: Opening, column: npt.ArrayLike, row: npt.ArrayLike, x: float = 0.0
) -> tuple[Doubles, Doubles]:
    """Where in a slit, and at which wavelength, the light of a pixel comes from.

    Parameters
    ----------
    opening : Opening
    column, row : array_like
        0-based in the full frame.
    x : float
        Place across the slit that the light comes from, in its widths.

    Returns
    -------
    y : ndarray
        Place along it, in its heights; NaN half a height beyond its ends.
    wavelength : ndarray, m
        In the barycentre.
    """
    column, row = np.broadcast_arrays(np.asarray(column, float), np.asarray(row, float))
    u = (column * PITCH + CORNER[0]) / CAMERA
    v = (row * PITCH + CORNER[1]) / CAMERA
    v = v + BENDS[0] * u**2
    u = u + BENDS[1] * v**2
    a, b, _ = np.tensordot(wheel(), _normalised(u, v), 1)
    along = np.linspace(opening.low - 0.5, opening.high + 0.5, SAMPLES)
    _, found = _entry(opening, np.full(SAMPLES, x), along)
    order = np.argsort(found)
    y = np.interp(-b, found[order], along[order], left=np.nan, right=np.nan)
    entry, _ = _entry(opening, np.full(y.shape, x), y)
    return y, (a + entry) / (-ORDER * GROOVES) / (1 + VELOCITY / LIGHT)


def _entry(opening: Opening, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Doubles, Doubles]:
    """Direction cosines a and b in the frame of the wheel of light from a place in a slit."""
    place_x = opening.x + np.asarray(x) * opening.width
    place_y = opening.y + np.asarray(y) * opening.height
    direction = _normalised(place_x / COLLIMATOR, place_y / COLLIMATOR)
    a, b, _ = np.tensordot(wheel(), direction, 1)
    return a, b


def _normalised(u: Doubles, v: Doubles) -> Doubles:
    """Direction cosines of tangents."""
    return np.array([u, v, np.ones_like(u)]) / np.sqrt(1 + u**2 + v**2)


def _about_x(angle: float) -> Doubles:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def _about_y(angle: float) -> Doubles:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def _about_z(angle: float) -> Doubles:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
