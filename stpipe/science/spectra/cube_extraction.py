"""Spectra of cubes: the light in a circle at every wavelength above that around it, or of all spaxels.

Arrays are (planes, rows, columns): a plane for each wavelength.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.science.spectra._circles import fractions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = [
    "Circles",
    "CubeSums",
    "Planes",
    "blocks",
    "joined",
    "linear",
    "sums_in_circles",
    "sums_of_all",
]

ITERATIONS = 5  # of clipping


@dataclass(frozen=True)
class Circles:
    """A circle and a ring around it in each plane, in pixels from 0.

    Attributes
    ----------
    centre : (float, float)
        Column and row of the middle.
    radius, inner, outer : (planes,) float64
        Of the circle and of the ring; there is no ring where `inner` is not between 0 and `outer`.
    subpixels : int
        Pixels on an edge count by this number squared of points; 0: by the exact area.
    """

    centre: tuple[float, float]
    radius: Doubles
    inner: Doubles
    outer: Doubles
    subpixels: int

    @property
    def has_ring(self) -> Booleans:
        """Planes with a ring."""
        found: Booleans = (self.inner > 0) & (self.inner < self.outer)
        return found

    def within(self, span: slice) -> Circles:
        """Those of some planes."""
        return replace(
            self, radius=self.radius[span], inner=self.inner[span], outer=self.outer[span]
        )

    def circle(self, shape: tuple[int, ...]) -> Doubles:
        """How much of every pixel is in the circle of its plane."""
        return self._disc(self.radius, shape)

    def ring(self, shape: tuple[int, ...]) -> Doubles:
        """How much of every pixel is in the ring of its plane."""
        outer = np.where(self.has_ring, self.outer, 0.0)
        return self._disc(outer, shape) - self._disc(np.where(outer > 0, self.inner, 0.0), shape)

    def _disc(self, radius: Doubles, shape: tuple[int, ...]) -> Doubles:
        out = np.empty(shape)
        fractions(*self.centre, np.ascontiguousarray(radius), self.subpixels, out)
        return out


class Planes(NamedTuple):
    """Some planes of a cube: data, variance in the square of their unit, and what each voxel counts.

    `weight` is 0 where nothing was seen, and up to 1.
    """

    data: Doubles
    variance: Doubles
    weight: Doubles

    @classmethod
    def of(cls, data: Floats, err: Floats, weight: Floats) -> Planes:
        """Planes as a file has them; what is not finite counts for nothing."""
        seen = (weight > 0) & np.isfinite(data) & np.isfinite(err)
        values, errors = (np.where(seen, each, 0.0).astype(np.float64) for each in (data, err))
        return cls(values, errors**2, np.where(seen, np.minimum(weight, 1.0), 0.0))

    @property
    def seen(self) -> Booleans:
        """Voxels that were seen."""
        found: Booleans = self.weight > 0
        return found

    def usual(self, sigma: float) -> Booleans:
        """Seen voxels within `sigma` standard deviations of the mean of their plane, both clipped."""
        from astropy.stats import sigma_clipped_stats

        flat = self.data.reshape(len(self.data), -1)
        whole = (self.weight >= 1).reshape(flat.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of planes where nothing is seen: NaN
            mean, _, spread = sigma_clipped_stats(
                np.ma.array(flat, mask=~whole), sigma=sigma, maxiters=ITERATIONS, axis=1
            )
        mean, spread = (np.asarray(each, np.float64)[:, None, None] for each in (mean, spread))
        far = np.abs(self.data - mean) > sigma * spread
        return self.seen & ~far


@dataclass(frozen=True)
class CubeSums:
    """Sums of each plane (planes,), in the unit of the cube and its square, and how many spaxels.

    `background` and its variance are sums over `background_pixels`; `seen` says where any spaxel of
    the aperture was.
    """

    flux: Doubles
    variance: Doubles
    npixels: Doubles
    background: Doubles
    background_variance: Doubles
    background_pixels: Doubles
    seen: Booleans


def sums_in_circles(planes: Planes, circles: Circles, *, subtract: bool, sigma: float) -> CubeSums:
    """Light in the circles, less that of the rings if asked.

    The ring is without voxels that are further than `sigma` standard deviations from the mean of
    their plane. Its light is scaled by the seen areas of both. Variances are those of independent
    voxels.

    Parameters
    ----------
    planes : Planes
    circles : Circles
    subtract : bool
        Whether the light in the rings is subtracted.
    sigma : float

    Returns
    -------
    CubeSums
        Where nothing of a circle is seen, `npixels` is its area.
    """
    circle = circles.circle(planes.data.shape)
    flux, variance, area = (_sum(circle, values) for values in planes)
    seen = area > 0
    npixels = np.where(seen, area, np.pi * circles.radius**2)
    background = background_variance = background_pixels = np.zeros(len(flux))
    if subtract:
        ring = circles.ring(planes.data.shape)
        background = _sum(ring * planes.usual(sigma), planes.data)
        background_variance = _sum(ring, planes.variance)
        background_pixels = _sum(ring, planes.weight)
        scale = np.divide(
            npixels, background_pixels, out=np.zeros(len(flux)), where=background_pixels > 0
        )
        flux = flux - background * scale
        variance = variance + background_variance * scale**2
    return CubeSums(
        flux, variance, npixels, background, background_variance, background_pixels, seen
    )


def sums_of_all(planes: Planes, sigma: float) -> CubeSums:
    """Light of all spaxels; the background is that of spaxels near the mean of their plane.

    Parameters
    ----------
    planes : Planes
    sigma : float
        How many standard deviations spaxels of the background are from the mean at most.

    Returns
    -------
    CubeSums
        Nothing is subtracted. Where nothing is seen, `npixels` is the number of spaxels.
    """
    every = np.ones(planes.data.shape)
    flux, variance, area = (_sum(every, values) for values in planes)
    seen = area > 0
    usual = planes.usual(sigma).astype(np.float64)
    background, background_variance, pixels = (_sum(usual, values) for values in planes)
    npixels = np.where(seen, area, float(every[0].size))
    return CubeSums(flux, variance, npixels, background, background_variance, pixels, seen)


def joined(parts: list[CubeSums]) -> CubeSums:
    """Sums of one block of planes after the other."""
    names = CubeSums.__dataclass_fields__
    return CubeSums(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def linear(asked: Doubles, at: Doubles, values: Doubles) -> Doubles:
    """Values between points, linear; beyond them the first and last line go on.

    Parameters
    ----------
    asked : (n,) float64
        Where values are asked for.
    at, values : (points,) or (points, n) float64
        The points in any order, the same for all or each of `asked` its own.

    Returns
    -------
    (n,) float64
    """
    shape = (len(at), len(asked))
    places, known = (np.broadcast_to(a.reshape(len(a), -1), shape) for a in (at, values))
    if len(at) == 1:
        return np.array(known[0], dtype=np.float64)
    order = np.argsort(places, axis=0, kind="stable")
    places, known = (np.take_along_axis(a, order, 0).astype(np.float64) for a in (places, known))
    low = np.clip((places < asked).sum(axis=0) - 1, 0, len(at) - 2)[np.newaxis]
    x0, x1, y0, y1 = (
        np.take_along_axis(a, index, 0)[0] for a in (places, known) for index in (low, low + 1)
    )
    found: Doubles = y0 + (asked - x0) * ((y1 - y0) / (x1 - x0))
    return found


def blocks(count: int, voxels: int, most: int = 1 << 22) -> Iterator[slice]:
    """Spans of `count` planes of `voxels` each, of up to `most` voxels."""
    step = max(1, most // max(voxels, 1))
    for first in range(0, count, step):
        yield slice(first, first + step)


def _sum(share: Doubles, values: Doubles) -> Doubles:
    found: Doubles = np.einsum("kij,kij->k", share, values)
    return found
