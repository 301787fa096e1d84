"""What has fallen on a cube: sums over pixels, and the cube that they make."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.cubes import _kernels
from stpipe.science.cubes.slices import CORNER, EDGE, Slice, SliceField, by_slice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stpipe.models import IFUImageModel
    from stpipe.science.arrays import Booleans, Doubles, Floats
    from stpipe.science.cubes.grid import CubeGrid
    from stpipe.science.cubes.sampling import Reach
    from stpipe.science.cubes.surfaces import Surface

__all__ = ["BYTES", "Sums"]

BAD = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE
BYTES = 46  # of memory for a spaxel: sums, coverage and the arrays of the product


@dataclass(frozen=True)
class SlicePixels:
    """The pixels of a slice: values and coordinates, each (pixels,) float64.

    Attributes
    ----------
    flux, error
    good : (pixels,) bool
    along : (2, pixels), arcsec or m
        Both ends of a pixel along the slice.
    waves : (2, pixels), um
        Wavelengths there.
    middle, wave, depth
        Place along the slice and wavelength of its middle; how much wavelength it sees, um.
    """

    flux: Doubles
    error: Doubles
    good: Booleans
    along: Doubles
    waves: Doubles
    middle: Doubles
    wave: Doubles
    depth: Doubles


@dataclass
class Sums:
    """Sums over the pixels of all exposures that have been added.

    Attributes
    ----------
    grid : CubeGrid
    reach : Reach or None
        How far pixels reach; None: they are drizzled.
    covers : bool
        Note which spaxels lie within the field of view.
    good, used : int
        Pixels that were good, and those among them that see wavelengths of the cube.
    """

    grid: CubeGrid
    reach: Reach | None = None
    covers: bool = True
    used: int = 0
    good: int = 0
    flux: Doubles = field(init=False)
    weight: Doubles = field(init=False)
    variance: Doubles = field(init=False)
    count: Floats = field(init=False)
    covered: Booleans | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.flux, self.weight, self.variance = (np.zeros(self.grid.shape) for _ in range(3))
        self.count = np.zeros(self.grid.shape, dtype=np.float32)
        if self.covers:
            self.covered = np.zeros(self.grid.shape, dtype=np.bool_)

    @property
    def _arrays(self) -> tuple[Doubles, Doubles, Doubles, Floats]:
        return self.flux, self.weight, self.variance, self.count

    def add(
        self, exposure: IFUImageModel, seen: SliceField, by: tuple[float, float] | None = None
    ) -> None:
        """Add the pixels of an exposure.

        Parameters
        ----------
        exposure : IFUImageModel
        seen : SliceField
            Where its pixels look.
        by : (float, float), arcsec, optional
            How far its sky is to be moved.
        """
        for one, pixels in _each_slice(exposure, seen, whole=self.reach is None):
            sides = one.on(self.grid.plane, by)
            kept = _select(pixels, self._keeps(pixels))
            self.good += int(pixels.good.sum())
            self.used += kept.wave.size
            if self.covered is not None:
                self._cover(pixels, sides, self.covered)
            if kept.wave.size and self.reach is None:
                self._drizzle(kept, sides)
            elif kept.wave.size and self.reach is not None:
                self._gather(kept, sides, self.reach)

    def _keeps(self, pixels: SlicePixels) -> Booleans:
        z, dz = self.grid.z, self.grid.dz
        if self.reach is not None:
            low = high = float(self.reach.depth.max())
        else:
            low, high = ((pixels.depth + each) for each in (dz[0], dz[-1]))
        near: Booleans = (pixels.wave >= z[0] - low) & (pixels.wave <= z[-1] + high)
        return pixels.good & near

    def _drizzle(self, pixels: SlicePixels, sides: list[list[Surface]]) -> None:
        corners = np.empty((pixels.wave.size, 4, 2))
        for corner, (end, side) in enumerate(((0, 0), (0, 2), (1, 2), (1, 0))):
            for axis in (0, 1):
                corners[:, corner, axis] = sides[side][axis](pixels.along[end], pixels.waves[end])
        values = (pixels.wave, pixels.depth, pixels.flux, pixels.error)
        g = self.grid
        _kernels.drizzle((g.x, g.y, g.z), g.dz, g.spaxel, corners, values, self._arrays)

    def _gather(self, pixels: SlicePixels, sides: list[list[Surface]], reach: Reach) -> None:
        g = self.grid
        x, y = (surface(pixels.middle, pixels.wave) for surface in sides[1])
        plane = _nearest(g.z, pixels.wave)
        rules = tuple(
            np.ascontiguousarray(np.broadcast_to(rule, g.z.shape)[plane])
            for rule in (reach.radius, reach.depth, *reach.shape)
        )
        values = (x, y, pixels.wave, pixels.flux, pixels.error)
        _kernels.gather((g.x, g.y, g.z), g.dz, g.spaxel, values, rules, self._arrays)

    def _cover(self, pixels: SlicePixels, sides: list[list[Surface]], covered: Booleans) -> None:
        """Note the spaxels that a slice covers in each plane, good pixels in them or not."""
        g = self.grid
        depth = (
            pixels.depth
            if self.reach is None
            else np.full(pixels.wave.size, 2 * self.reach.depth.mean())
        )
        low, high = np.full((2, g.z.size), np.nan)
        _kernels.extent(
            g.z, g.dz, (*np.sort(pixels.along, axis=0), pixels.wave, depth), (low, high)
        )
        seen = np.flatnonzero(np.isfinite(low))
        corners = np.empty((seen.size, 4, 2))
        for corner, (end, side) in enumerate(((low, 0), (low, 2), (high, 2), (high, 0))):
            for axis in (0, 1):
                corners[:, corner, axis] = sides[side][axis](end[seen], g.z[seen])
        _kernels.cover((g.x, g.y), g.spaxel, seen, corners, covered.view(np.uint8))


def _each_slice(
    exposure: IFUImageModel, seen: SliceField, *, whole: bool
) -> Iterator[tuple[Slice, SlicePixels]]:
    """The slices with their pixels; `whole`: those that see the sky with all of their corners."""
    labels = seen.labels()
    if whole:
        labels.ravel()[seen.cut] = 0
    for number, (rows, columns) in by_slice(labels).items():
        one = seen.slices[number]
        x, y = columns.astype(np.float64), rows.astype(np.float64)
        if seen.rows:
            ends = [one.coordinates(x, y + d, rows=True) for d in (-CORNER, CORNER)]
            spread = [one.coordinates(x + d, y, rows=True)[1] for d in (-EDGE, EDGE)]
        else:
            ends = [one.coordinates(x + d, y, rows=False) for d in (-EDGE, EDGE)]
            spread = [one.coordinates(x, y + d, rows=False)[1] for d in (-EDGE, EDGE)]
        middle, wave = one.coordinates(x, y, rows=seen.rows)
        flux, error = (a[rows, columns].astype(np.float64) for a in (exposure.data, exposure.err))
        waves = np.stack([end[1] for end in ends]) if seen.rows else np.stack([wave, wave])
        yield (
            one,
            SlicePixels(
                flux,
                error,
                np.isfinite(flux) & np.isfinite(error) & ~has(exposure.dq[rows, columns], BAD),
                np.stack([end[0] for end in ends]),
                waves,
                middle,
                wave,
                np.abs(spread[1] - spread[0]),
            ),
        )


def _select(pixels: SlicePixels, kept: Booleans) -> SlicePixels:
    """The pixels of some places."""
    values = (getattr(pixels, f.name)[..., kept] for f in fields(pixels))
    return SlicePixels(*(np.ascontiguousarray(each) for each in values))


def _nearest(z: Doubles, wave: Doubles) -> npt.NDArray[np.intp]:
    """The plane that is nearest to each wavelength."""
    above = np.clip(np.searchsorted(z, wave), 1, z.size - 1)
    return above - (wave - z[above - 1] <= z[above] - wave)
