"""The plane of a cube on the sky, in arcsec from its centre: xi to the west, eta to the north.

Gnomonic projection as in Calabretta & Greisen 2002, section 5.1.3, with xi reversed, and turned by an
angle, so that both axes grow with the index of spaxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles

__all__ = ["TangentPlane", "extremes", "offset", "unwrapped"]

ARCSEC = 180 * 3600 / np.pi  # of a radian


@dataclass(frozen=True)
class TangentPlane:
    """Where a cube's plane touches the sky, and how it is turned.

    Attributes
    ----------
    ra, dec : float, degrees
    angle : float, degrees
        By which the axes are turned.
    """

    ra: float
    dec: float
    angle: float = 0.0

    def place(self, ra: Doubles, dec: Doubles) -> tuple[Doubles, Doubles]:
        """Places in the plane.

        Parameters
        ----------
        ra, dec : (...) float64, degrees

        Returns
        -------
        xi, eta : (...) float64, arcsec
        """
        dec0, away, height = (np.radians(v) for v in (self.dec, ra - self.ra, dec))
        depth = np.sin(height) * np.sin(dec0) + np.cos(height) * np.cos(dec0) * np.cos(away)
        west = -np.cos(height) * np.sin(away) / depth * ARCSEC
        north = np.sin(height) * np.cos(dec0) - np.cos(height) * np.sin(dec0) * np.cos(away)
        return _turned(west, north / depth * ARCSEC, -self.angle)

    def sky(self, xi: Doubles, eta: Doubles) -> tuple[Doubles, Doubles]:
        """The way back: right ascension, not brought into 0 to 360, and declination in degrees."""
        west, north = _turned(xi, eta, self.angle)
        dec0, x, y = np.radians(self.dec), -west / ARCSEC, north / ARCSEC
        depth = np.cos(dec0) - y * np.sin(dec0)
        ra = self.ra + np.degrees(np.arctan2(x, depth))
        height = np.sin(dec0) + y * np.cos(dec0)
        return ra, np.degrees(np.arctan2(height, np.hypot(x, depth)))


def _turned(x: Doubles, y: Doubles, angle: float) -> tuple[Doubles, Doubles]:
    if angle == 0:
        return x, y
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return x * cos - y * sin, x * sin + y * cos


def unwrapped(ra: Doubles) -> Doubles:
    """Right ascensions without a step of 360 degrees between them, in 0 to 720.

    Parameters
    ----------
    ra : (...) float64, degrees

    Returns
    -------
    (...) float64, degrees
        Less than 180 from the first.
    """
    first = ra.flat[0]
    near: Doubles = first + (ra - first + 180) % 360 - 180
    return near if near.min() >= 0 else near + 360


def offset(ra: Doubles, dec: Doubles, by: tuple[float, float]) -> tuple[Doubles, Doubles]:
    """Places moved by angles to the east and the north, along great circles.

    Parameters
    ----------
    ra, dec : (...) float64, degrees
    by : (float, float), arcsec
        To the east, in the plane of the place, and to the north.

    Returns
    -------
    ra, dec : (...) float64, degrees
    """
    # Where a place at (by) from (0, 0) lies once (0, 0) is carried to (ra, dec).
    east, north = (np.radians(each / 3600) for each in by)
    x, y, z = np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)
    height = np.radians(dec)
    level = x * np.cos(height) - z * np.sin(height)
    up = x * np.sin(height) + z * np.cos(height)
    moved = ra + np.degrees(np.arctan2(y, level))
    return moved, np.degrees(np.arctan2(up, np.hypot(level, y)))


def extremes(ra: Doubles, dec: Doubles) -> tuple[Doubles, Doubles]:
    """The places that are farthest to the west, the east, the south and the north, degrees."""
    ra = unwrapped(ra)
    picked = [int(each) for each in (ra.argmin(), ra.argmax(), dec.argmin(), dec.argmax())]
    return ra[picked] % 360, dec[picked]
