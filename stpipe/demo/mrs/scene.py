"""What the spectrometer looks at: a star before a nebula, and where each exposure has them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from stpipe.demo.mrs.slices import BAND, CHANNELS, V2V3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model

    from stpipe.demo.mrs.slices import Doubles

__all__ = ["DITHERS", "STAR", "VELOCITY", "Dither", "nebula", "observed", "star", "width"]

STAR: Final = (80.4875, -69.4975)
"""RA and Dec in degrees."""
VELOCITY: Final = -8000.0
"""VELOSYS, m/s."""
LIGHT: Final = 299_792_458.0
NEBULA: Final = 250.0
"""MJy/sr at 6 um"""
FLUX: Final = 0.008
"""Jy at 6 um"""
LINES: Final = MappingProxyType({5.053: 0.9, 5.511: 1.5, 7.652: 1.2, 8.221: 0.8})
"""Wavelength of emission lines of the nebula in um, and their peaks over its continuum."""
LINE_WIDTH: Final = 2.2e-4
"""Standard deviation of a line over its wavelength."""


@dataclass(frozen=True)
class Dither:
    """Where an exposure points, arcsec east and north of the star."""

    east: float
    north: float

    number = 11
    """Of the observation in the proposal."""
    exposure_type = "MIR_MRS"

    @property
    def optics(self) -> Mapping[str, str]:
        """What is in the beam, by dotted attribute name."""
        return {
            "meta.exposure.type": self.exposure_type,
            "meta.instrument.channel": "".join(str(channel.number) for channel in CHANNELS),
            "meta.instrument.band": BAND,
        }

    @property
    def pointing(self) -> tuple[float, float]:
        """RA and Dec of the reference point, degrees."""
        ra, dec = STAR
        east = self.east / 3600 / float(np.cos(np.deg2rad(dec)))
        return ra + east, dec + self.north / 3600

    def v2v3(self, roll: float) -> tuple[float, float]:
        """Where the star is in V2, V3, arcsec."""
        ra, dec = self.pointing
        sky = {"v2_ref": V2V3[0], "v3_ref": V2V3[1], "ra_ref": ra, "dec_ref": dec, "roll_ref": roll}
        v2, v3 = _sky(sky).inverse(*STAR)
        return float(v2), float(v3)


def _sky(pointing: Mapping[str, float]) -> Model:
    from stpipe.science.wcs.pointing import sky_from_v2v3

    return sky_from_v2v3(pointing)


DITHERS: Final = (
    Dither(0.10, -0.05),
    Dither(-0.33, 0.21),
    Dither(0.27, 0.38),
    Dither(-0.22, -0.31),
)
"""Parts of slices and pixels apart, so that together they sample the star."""


def observed(wavelength: Doubles) -> Doubles:
    """The wavelength at the barycentre of light that the moving telescope sees at `wavelength`, um."""
    return wavelength / (1 + VELOCITY / LIGHT)


def nebula(wavelength: Doubles) -> Doubles:
    """Surface brightness in MJy/sr; wavelength at the barycentre, um."""
    found: Doubles = NEBULA * (wavelength / 6)
    for line, peak in LINES.items():
        found = found * (1 + peak * np.exp(-0.5 * ((wavelength / line - 1) / LINE_WIDTH) ** 2))
    return found


def star(wavelength: Doubles) -> Doubles:
    """Flux in Jy; wavelength at the barycentre, um."""
    found: Doubles = FLUX * (wavelength / 6) ** -2
    return found


def width(wavelength: Doubles) -> Doubles:
    """Standard deviation of the star's image, arcsec."""
    return 0.11 + 0.012 * wavelength
