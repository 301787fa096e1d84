"""The integral-field unit of NIRSpec: slices of the sky, which become slits below each other."""

from __future__ import annotations

from typing import Final

from stpipe.demo.nirspec.rays import Opening

__all__ = ["SCALE", "SIZE", "SLICES", "at_slicer", "opening"]

SLICES: Final = 30
SIZE: Final = (0.8e-3, 12e-3)
"""Width and height of a slice at the slicer, m: 0.1 by 3 arcsec of the sky."""
SCALE: Final = (0.0484, 0.0969)
"""From the slicer to the plane of the shutters: along x the slicer is twice as large."""
BELOW: Final = -1.42e-3
"""Distance of neighbouring slits in the plane of the shutters, m."""


def at_slicer(number: int) -> float:
    """The middle of a slice across the slicer, m."""
    return (number - (SLICES - 1) / 2) * SIZE[0]


def opening(number: int) -> Opening:
    """The slit that a slice becomes."""
    y = (number - (SLICES - 1) / 2) * BELOW
    return Opening(0.0, y, SIZE[0] * SCALE[0], SIZE[1] * SCALE[1])
