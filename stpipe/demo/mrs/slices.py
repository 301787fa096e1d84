"""From pixels to places in the slices and wavelengths, and back.

Both channels of a detector are slanted a little against its columns. Numbers are rounded ones of the
short detector in its first band (Wells et al. 2015); wavelengths of the second channel fall with the
row, which is not so in the instrument, but allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from astropy.modeling import Model

__all__ = ["BAND", "CHANNELS", "SCALE", "SHAPE", "V2V3", "Channel", "Doubles", "labels", "to_v2v3"]

Doubles = npt.NDArray[np.float64]

SHAPE: Final = (1024, 1032)
BAND: Final = "SHORT"
SCALE: Final = 0.196
"""arcsec per pixel along slices"""
SLANT: Final = 3 / 1024
"""Columns per row that slices run to the right."""
TILT: Final = 0.05
"""Rows per column that lines of equal wavelength run down."""
MIDDLE: Final = (SHAPE[0] - 1) / 2
V2V3: Final = (-503.654, -318.742)
"""arcsec of alpha and beta at 0"""
ANGLE: Final = 8.0
"""From V2 to alpha, degrees"""


@dataclass(frozen=True)
class Channel:
    """A channel: its slices, the columns that they fall on, and its wavelengths.

    Attributes
    ----------
    number : int
    slices : int
    step : float
        Width of a slice, arcsec.
    half : float
        Half its length, arcsec.
    first, spacing : float
        Column of the middle of the first slice in the middle row, and columns from slice to slice.
    waves : (float, float)
        In the middle of a slice in the first and the last row, um.
    """

    number: int
    slices: int
    step: float
    half: float
    first: float
    spacing: float
    waves: tuple[float, float]

    @property
    def name(self) -> str:
        """As references name it."""
        return f"{self.number}{BAND}"

    @property
    def lowest(self) -> float:
        """Beta of the middle of the first slice, arcsec."""
        return -(self.slices - 1) / 2 * self.step

    @property
    def limits(self) -> tuple[float, float]:
        """Shortest and longest wavelength of any pixel, um."""
        margin = abs(self.per_row) * TILT * self.half / SCALE
        return min(self.waves) - margin, max(self.waves) + margin

    @property
    def per_row(self) -> float:
        """Change of the wavelength from row to row, um."""
        return (self.waves[1] - self.waves[0]) / (SHAPE[0] - 1)

    @property
    def numbers(self) -> list[int]:
        """Of its slices, as references number them."""
        return [100 * self.number + place for place in range(1, self.slices + 1)]

    def beta(self, place: int) -> float:
        """The middle of a slice across the slices, arcsec; `place` counts from 0."""
        return self.lowest + place * self.step

    def column(self, place: int) -> float:
        """Where the middle of a slice would be in row 0."""
        return self.first + place * self.spacing - SLANT * MIDDLE

    def to_place(self, place: int, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
        """Alpha (arcsec) and wavelength (um) of 0-based pixels in a slice."""
        from_middle = x - self.column(place) - SLANT * y
        return SCALE * from_middle, self.waves[0] + self.per_row * (y + TILT * from_middle)

    def models(self, place: int) -> dict[str, Model]:
        """The same in references: alpha and wavelength by (y, x), x and y by (wavelength, alpha).

        Beta is known by the slice alone.
        """
        from astropy.modeling.models import Polynomial1D, Polynomial2D

        column, step = self.column(place), self.per_row
        alpha = Polynomial2D(1, c0_0=-SCALE * column, c1_0=-SCALE * SLANT, c0_1=SCALE)
        wave = Polynomial2D(
            1,
            c0_0=self.waves[0] - step * TILT * column,
            c1_0=step * (1 - TILT * SLANT),
            c0_1=step * TILT,
        )
        row = {"c0_0": -self.waves[0] / step, "c1_0": 1 / step, "c0_1": -TILT / SCALE}
        y = Polynomial2D(1, **row)
        x = Polynomial2D(
            1,
            c0_0=column + SLANT * row["c0_0"],
            c1_0=SLANT * row["c1_0"],
            c0_1=1 / SCALE + SLANT * row["c0_1"],
        )
        beta = Polynomial1D(1, c0=self.beta(place), c1=0.0)
        return {"alpha": alpha, "beta": beta, "wavelength": wave, "x": x, "y": y}


CHANNELS: Final = (
    Channel(1, 21, 0.177, 1.85, 16.0, 23.0, (4.89, 5.75)),
    Channel(2, 17, 0.28, 2.35, 534.0, 28.0, (8.76, 7.48)),
)
"""Those of the short detector, in its left and its right half."""


def labels() -> npt.NDArray[np.int32]:
    """The slice of every pixel that is all in one, 0 between slices; (rows, columns)."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    found = np.zeros(SHAPE, np.int32)
    for channel in CHANNELS:
        for place, number in enumerate(channel.numbers):
            alpha, _ = channel.to_place(place, x, y)
            found[np.abs(alpha) + SCALE / 2 <= channel.half] = number
    return found


def to_v2v3() -> Model:
    """Transform from alpha and beta to V2, V3, all in arcsec, and back."""
    from astropy.modeling.models import AffineTransformation2D

    turn = np.deg2rad(ANGLE)
    matrix = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    return AffineTransformation2D(matrix, translation=V2V3)
