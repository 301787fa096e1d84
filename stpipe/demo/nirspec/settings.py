"""What an exposure of NIRSpec looks at: slits, the sources in them, and their spectra."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from stpipe.demo.nirspec.rays import Doubles, Opening
from stpipe.demo.nirspec.shutters import Shutters
from stpipe.demo.nirspec.slices import SLICES, opening

__all__ = [
    "BRIGHT_OBJECT",
    "FIXED",
    "FIXED_SLITS",
    "INTEGRAL_FIELD",
    "SHUTTERS",
    "SKY",
    "Setting",
    "Slit",
    "Source",
]

LINES: Final = MappingProxyType({1.083: 1.4, 1.282: 2.0, 1.557: 1.0, 1.746: 1.6})
"""Wavelength of emission lines in um, and their peaks over the continuum."""
LINE_WIDTH: Final = 0.0015
"""Standard deviation of a line, um: two pixels, and as much of the source as of the grating."""

FIXED: Final = MappingProxyType(
    {
        "S200A1": Opening(0.0, 2.8e-3, 77e-6, 1.24e-3),
        "S200A2": Opening(0.5e-3, -1.7e-3, 77e-6, 1.24e-3),
        "S400A1": Opening(0.0, -0.1e-3, 155e-6, 1.24e-3),
        "S1600A1": Opening(0.0, 1.35e-3, 620e-6, 0.62e-3),
        "S200B1": Opening(12e-3, -3.4e-3, 77e-6, 1.24e-3),
    }
)
"""The fixed slits, in the order of their rows in the MSA reference."""


@dataclass(frozen=True)
class Source:
    """A star, or a nebula that fills the slit.

    Attributes
    ----------
    level : float
        Continuum at 1.4 um: Jy of a star, MJy/sr of a nebula.
    slope : float
        Of the continuum, parts of its level per um.
    lines : float
        Brightness of the emission lines, 1 as in `LINES`.
    place : (float, float), optional
        Where a star is, in widths and heights of the slit from its centre; None of a nebula.
    """

    level: float
    slope: float = 0.0
    lines: float = 1.0
    place: tuple[float, float] | None = None

    def continuum(self, wavelength: Doubles) -> Doubles:
        """Jy, or MJy/sr, without lines; wavelength in um."""
        return self.level * (1 + self.slope * (wavelength - 1.4))

    def spectrum(self, wavelength: Doubles) -> Doubles:
        """Jy, or MJy/sr; wavelength in um."""
        found = self.continuum(wavelength)
        for line, peak in LINES.items():
            profile = np.exp(-0.5 * ((wavelength - line) / LINE_WIDTH) ** 2)
            found = found + self.lines * peak * self.level * profile
        return found


@dataclass(frozen=True)
class Slit:
    """An open slit: its name, its place, and the source in front of the sky; None of sky alone.

    A slitlet has `shutters`. All light passes a `wide` one, by its calibration.
    """

    name: str
    opening: Opening
    source: Source | None
    shutters: Shutters | None = None
    wide: bool = False

    @property
    def star(self) -> Source | None:
        """The source, if it is a star."""
        return self.source if self.source and self.source.place else None


@dataclass(frozen=True)
class Setting:
    """How NIRSpec is used.

    Attributes
    ----------
    exposure_type : str
        EXP_TYPE.
    number : int
        Of the observation in the proposal.
    slits : tuple of Slit
        The first one holds the target.
    failed : tuple of Shutters
        That cannot be closed: light of the sky comes through.
    """

    exposure_type: str
    number: int
    slits: tuple[Slit, ...]
    failed: tuple[Shutters, ...] = ()

    @property
    def has_shutters(self) -> bool:
        """Whether the slits are slitlets of shutters."""
        return self.exposure_type == "NRS_MSASPEC"

    @property
    def has_slices(self) -> bool:
        """Whether the slits are slices of an integral field."""
        return self.exposure_type == "NRS_IFU"

    @property
    def has_names(self) -> bool:
        """Whether the slits are fixed ones, which references know by name."""
        return not (self.has_shutters or self.has_slices)

    @property
    def follows_time(self) -> bool:
        """Whether it is a time series."""
        return self.exposure_type == "NRS_BRIGHTOBJ"

    @property
    def optics(self) -> dict[str, str]:
        """What is in the beam, by dotted attribute name."""
        return {
            "meta.exposure.type": self.exposure_type,
            "meta.instrument.filter": "F100LP",
            "meta.instrument.grating": "G140M",
            "meta.instrument.lamp_state": "NONE",
            "meta.instrument.lamp_mode": "NONE",
        }


SKY: Final = Source(30.0, slope=-0.3, lines=0.0)
"""Light from everywhere."""
FIXED_SLITS: Final = Setting(
    "NRS_FIXEDSLIT",
    7,
    (
        Slit("S200A1", FIXED["S200A1"], Source(0.012, 0.5, place=(0.12, -0.1))),
        Slit("S200A2", FIXED["S200A2"], Source(400.0, -0.4)),
        Slit("S400A1", FIXED["S400A1"], Source(300.0, 0.2)),
        Slit("S1600A1", FIXED["S1600A1"], Source(100.0, -0.2)),
        Slit("S200B1", FIXED["S200B1"], Source(350.0, 0.1)),
    ),
)
"""A star in the slit of the target, and a nebula in all others."""


def _slitlet(shutters: Shutters, source: Source | None) -> Slit:
    return Slit(str(shutters.number), shutters.opening, source, shutters)


SHUTTERS: Final = Setting(
    "NRS_MSASPEC",
    8,
    (
        _slitlet(Shutters(1, 1, 60, 5, 7, 6), Source(0.012, 0.5, place=(0.15, -0.1))),
        _slitlet(Shutters(2, 1, 90, 11, 15, 13), None),
        _slitlet(Shutters(3, 1, 40, 19, 23, 21), Source(400.0, -0.4)),
        _slitlet(Shutters(4, 3, 330, 27, 29, 28), Source(0.010, -0.3, place=(-0.2, 0.05))),
        _slitlet(Shutters(5, 3, 300, 33, 37, 35), None),
    ),
    failed=(Shutters(0, 3, 340, 42, 42, 42),),
)
"""Two stars, a nebula, and two slitlets of sky in two quadrants; another shutter failed open."""

BRIGHT_OBJECT: Final = Setting(
    "NRS_BRIGHTOBJ",
    9,
    (Slit("S1600A1", FIXED["S1600A1"], Source(0.06, 0.3, place=(0.03, -0.1)), wide=True),),
)
"""A star in the wide slit, for a time series."""

INTEGRAL_FIELD: Final = Setting(
    "NRS_IFU",
    10,
    tuple(
        Slit(str(number), opening(number), Source(400.0 + 20 * number, 0.3 - 0.02 * number))
        for number in range(SLICES)
    ),
)
"""A nebula, brighter and bluer from slice to slice."""
