"""A field of stars that several exposures see, each from a little elsewhere.

The header of an exposure says where the telescope believes to look; it is off by some hundredths of
an arcsecond, as guiding is. Stars keep their places on the sky and their fluxes, so that a mosaic
can be held against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import Detector, Subarray
from stpipe.demo.optics import APERTURES, distortion_model, megajansky, reference_point

__all__ = ["STAR", "Pointing", "at_pixels", "save_stars", "stars"]

CENTRE: Final = (80.4875, -69.4975)
"""Right ascension and declination in degrees."""
SPACING: Final = 1.5
"""Mean distance of stars, arcsec; none is closer to another than 1 arcsec."""
JITTER: Final = 0.25
ACROSS: Final = 9
"""Stars along each side of the field."""
PEAKS: Final = (0.006, 0.06)
"""Peaks of the faintest and the brightest star, full wells per frame."""

STAR: Final = np.dtype([("ra", np.float64), ("dec", np.float64), ("peak", np.float64)])
"""A star: degrees, and the peak of its image, full wells per frame."""


@dataclass(frozen=True)
class Pointing:
    """Where the middle of a subarray looks, and by how much the header is wrong, in arcsec.

    `east` and `north` count from the centre of the field; `off_east` and `off_north` are what the
    telescope does not know.
    """

    east: float
    north: float
    off_east: float = 0.0
    off_north: float = 0.0
    roll: float = 30.0

    @property
    def believed(self) -> tuple[float, float]:
        """Right ascension and declination in degrees, as the header has them."""
        return _offset(self.east, self.north)

    @property
    def true(self) -> tuple[float, float]:
        """Right ascension and declination in degrees, as they are."""
        return _offset(self.east + self.off_east, self.north + self.off_north)


def _offset(east: float, north: float) -> tuple[float, float]:
    ra, dec = CENTRE
    return ra + east / 3600 / float(np.cos(np.deg2rad(dec))), dec + north / 3600


def stars() -> npt.NDArray[np.void]:
    """The stars of the field, dtype `STAR`: near the points of a grid, of random brightness."""
    rng = np.random.default_rng(20_240_301)
    count = ACROSS * ACROSS
    places = (np.arange(ACROSS) - (ACROSS - 1) / 2) * SPACING
    east, north = (axis.ravel() for axis in np.meshgrid(places, places))
    shift = rng.uniform(-JITTER, JITTER, (2, count))
    found = np.zeros(count, STAR)
    found["ra"], found["dec"] = np.transpose(
        [_offset(*place) for place in zip(east + shift[0], north + shift[1], strict=True)]
    )
    found["peak"] = rng.permutation(np.geomspace(*PEAKS, count))
    return found


def at_pixels(detector: Detector, subarray: Subarray, pointing: Pointing) -> Any:
    """Where the stars are in the subarray: x and y from 0."""
    from stpipe.science.wcs.pointing import sky_from_v2v3

    v2, v3 = reference_point(detector, subarray)
    ra, dec = pointing.true
    sky = {"v2_ref": v2, "v3_ref": v3, "ra_ref": ra, "dec_ref": dec, "roll_ref": pointing.roll}
    known = stars()
    x, y = distortion_model(detector).inverse(
        *sky_from_v2v3(sky).inverse(known["ra"], known["dec"])
    )
    return x - (subarray.xstart - 1), y - (subarray.ystart - 1)


def save_stars(path: Path, detector: Detector, subarray: Subarray, width: float) -> Path:
    """Write the table of stars: places in degrees, flux in Jy for Gaussian stars of `width` pixels."""
    from astropy.io import fits

    known = stars()
    rate = known["peak"] * detector.full_well / subarray.frame_time / detector.gain
    area = np.deg2rad(APERTURES[detector.instrument].scale / 3600) ** 2
    flux = rate * 2 * np.pi * width**2 * megajansky(detector) * area * 1e6
    columns = [
        fits.Column("ra", "D", unit="deg", array=known["ra"]),
        fits.Column("dec", "D", unit="deg", array=known["dec"]),
        fits.Column("flux", "D", unit="Jy", array=flux),
    ]
    fits.BinTableHDU.from_columns(columns, name="STARS").writeto(path, overwrite=True)
    return path
