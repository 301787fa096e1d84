"""The shutters of NIRSpec: where they are, slitlets of open ones, and the shadow of their bars."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from stpipe.demo.nirspec.rays import Doubles, Opening

__all__ = [
    "BARS",
    "COLUMNS",
    "HEIGHT",
    "PITCH",
    "QUADRANTS",
    "ROWS",
    "WIDTH",
    "Shutters",
    "shadow",
]

ROWS: Final = 365
"""Shutters of a quadrant along x, which archives call rows."""
COLUMNS: Final = 171
"""Shutters along y."""
PITCH: Final = (105e-6, 204e-6)
WIDTH: Final = 78e-6
HEIGHT: Final = 178e-6
"""Distance of neighbours along x and y, and size of the open part, m."""
QUADRANTS: Final = MappingProxyType(
    {1: (1.5e-3, 5.5e-3), 2: (1.5e-3, -40.2e-3), 3: (-39.7e-3, 5.5e-3), 4: (-39.7e-3, -40.2e-3)}
)
"""The middle of the first shutter of each quadrant, m."""
BARS: Final = (0.5, 0.35, 0.06)
"""Place of a bar from the middle of a shutter, what it takes of the light, and its width; pitches."""
END: Final = 0.08
"""How softly light ends behind the last bar, pitches."""
DARK: Final = 0.03
"""What is left of the light behind closed shutters."""


@dataclass(frozen=True)
class Shutters:
    """The open shutters of a slitlet, in a column of a quadrant; all count from 1.

    Attributes
    ----------
    number : int
        Of the slitlet.
    quadrant, row : int
    first, last : int
        Columns of the first and the last open shutter.
    main : int
        Column of the shutter that the source is in.
    """

    number: int
    quadrant: int
    row: int
    first: int
    last: int
    main: int

    @property
    def opening(self) -> Opening:
        """Its main shutter, with as much of the slitlet as light may come through."""
        x, y = QUADRANTS[self.quadrant]
        pitch = PITCH[1] / HEIGHT
        return Opening(
            x=x + (self.row - 1) * PITCH[0],
            y=y + (self.main - 1) * PITCH[1],
            width=WIDTH,
            height=HEIGHT,
            low=(self.first - self.main - 1) * pitch,
            high=(self.last - self.main + 1) * pitch,
        )

    def light(self, place: Doubles) -> Doubles:
        """Part of the light that bars leave, by place along the slitlet in heights of a shutter."""
        along = place * HEIGHT / PITCH[1] + self.main
        inside = np.clip(along, self.first, self.last)
        return np.where(
            inside == along, shadow(along - np.rint(along)), shadow(along - inside, alone=True)
        )


def shadow(offset: Doubles, *, alone: bool = False) -> Doubles:
    """Part of the light that bars leave, by distance from the middle of a shutter in pitches.

    The neighbours are open, or closed with `alone`.
    """
    place, depth, width = BARS
    away = np.abs(offset)
    found: Doubles = 1 - depth * np.exp(-0.5 * ((away - place) / width) ** 2)
    if alone:
        end = 1 / (1 + np.exp((away - place - 0.1) / END * 4))
        found = np.maximum(found * end, DARK)
    return found
