"""The grid of a cube: spaxels in a plane that touches the sky, and planes of wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.cubes.tangent_plane import TangentPlane, unwrapped

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles
    from stpipe.science.cubes.sampling import Sampling

__all__ = ["CubeGrid", "Placement", "corners_of_region", "joined", "planes_of", "sky_grid"]


@dataclass(frozen=True)
class Placement:
    """Where the user wants a cube: None leaves it to the exposures.

    Attributes
    ----------
    ra, dec : float, degrees
        The centre.
    angle : float, degrees
        By which the axes are turned.
    columns, rows : int
        How many spaxels.
    """

    ra: float | None = None
    dec: float | None = None
    angle: float = 0.0
    columns: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class CubeGrid:
    """A grid.

    Attributes
    ----------
    plane : TangentPlane
    x, y : (columns,), (rows,) float64, arcsec
        Middles of spaxels.
    z, dz : (planes,) float64, um
        Middles and depths of planes.
    spaxel : (float, float), arcsec
    step : float, um
        Between planes; 0 where they are those of a table.
    """

    plane: TangentPlane
    x: Doubles
    y: Doubles
    z: Doubles
    dz: Doubles
    spaxel: tuple[float, float]
    step: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows, columns."""
        return self.z.size, self.y.size, self.x.size


def planes_of(sampling: Sampling) -> tuple[Doubles, Doubles]:
    """Middles and depths of planes, um."""
    z: Doubles
    if sampling.waves is None:
        count = ceil((sampling.high - sampling.low) / sampling.step)
        z = sampling.low + sampling.step / 2 + np.arange(count, dtype=np.float64) * sampling.step
    else:
        z = sampling.waves
    depths = np.diff(z)
    last = depths[-1:] if depths.size else np.array([sampling.step])
    return z, np.append(depths, last)


def sky_grid(
    corners: tuple[Doubles, Doubles], sampling: Sampling, placement: Placement
) -> CubeGrid:
    """The grid that holds the corners of all exposures, with its centre in the middle of a spaxel.

    Parameters
    ----------
    corners : (ra, dec), each (corners,) float64, degrees
    sampling : Sampling
    placement : Placement

    Returns
    -------
    CubeGrid
    """
    ra, dec = unwrapped(corners[0]), corners[1]
    middle = ((ra.min() + ra.max()) / 2 % 360, (dec.min() + dec.max()) / 2)
    given = (placement.ra, placement.dec)
    centre = [own if own is not None else found for own, found in zip(given, middle, strict=True)]
    plane = TangentPlane(float(centre[0]), float(centre[1]), placement.angle)
    axes: list[Doubles] = []
    sizes = (placement.columns, placement.rows)
    for places, size in zip(plane.place(ra, dec), sizes, strict=True):
        half = (
            ceil(float(np.abs(places).max()) / sampling.spaxel) + 1 if size is None else size // 2
        )
        axes.append(np.arange(-half, half + 1.0) * sampling.spaxel)
    z, dz = planes_of(sampling)
    return CubeGrid(plane, axes[0], axes[1], z, dz, (sampling.spaxel,) * 2, sampling.step)


def corners_of_region(region: str) -> tuple[Doubles, Doubles]:
    """Right ascensions and declinations (degrees) of a polygon, as S_REGION has it."""
    numbers = np.array([float(word) for word in region.split()[2:]])
    return numbers[::2], numbers[1::2]


def joined(corners: Sequence[tuple[Doubles, Doubles]]) -> tuple[Doubles, Doubles]:
    """Corners of several exposures."""
    ra, dec = (np.concatenate(axis) for axis in zip(*corners, strict=True))
    return ra, dec
