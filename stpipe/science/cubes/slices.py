"""Where the pixels of an integral-field unit look, slice by slice, as polynomials of its gwcs.

In a slice the gwcs leads from pixels to a place along it and a wavelength, and from these to the sky.
Both are smooth, so that a few samples tell them; what is kept of an exposure is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stpipe.errors import InputError
from stpipe.science.cubes.surfaces import Interval, Surface, nodes
from stpipe.science.cubes.tangent_plane import TangentPlane, extremes, offset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model
    from gwcs import WCS
    from numpy.polynomial import Polynomial

    from stpipe.models import IFUImageModel
    from stpipe.science.arrays import Doubles


__all__ = ["Labels", "Slice", "SliceField", "by_slice", "field_of"]

Labels: TypeAlias = npt.NDArray[np.int32]
Indices: TypeAlias = npt.NDArray[np.intp]
Pixels: TypeAlias = tuple[Indices, Indices]  # rows, columns

CHANNEL = 100  # a slice of MIRI is numbered by channel and place: 101 is the first of channel 1
UM = 1e6  # in a m
EDGE = 0.4999  # of a pixel from its middle: an index rounds to the same pixel
CORNER = 0.49  # the same along slices of NIRSpec
ACROSS = (-1.0, 0.0, 1.0)  # half widths of a slice from its middle
SIZES = (8, 12, 24)  # terms along the spectrum that are tried
LINES = 2  # columns (or rows) of samples for each of them
TESTS = 200  # pixels that a surface is compared with
FINE = 1e-9  # of the extent of what a surface describes
SKY = (12, 6)  # samples along a slice and its wavelengths


@dataclass(frozen=True)
class Slice:
    """A slice of an exposure.

    Attributes
    ----------
    number : int
    trace : Polynomial
        Middle of the slice across the spectrum, pixels, by the place along the spectrum.
    along, wave : Surface
        The place along the slice (arcsec or m) and the wavelength (um) by the place along the
        spectrum and the distance from the trace, in pixels.
    limits : (Interval, Interval)
        Of places along and of wavelengths.
    ra, dec : (3, n, m) float64, degrees
        At the `nodes` of the limits: on one side of the slice, in its middle, on the other.
    across : float
        The place of the slice (arcsec or m).
    """

    number: int
    trace: Polynomial
    along: Surface
    wave: Surface
    limits: tuple[Interval, Interval]
    ra: Doubles
    dec: Doubles
    across: float

    def coordinates(self, x: Doubles, y: Doubles, *, rows: bool) -> tuple[Doubles, Doubles]:
        """The place along the slice and the wavelength (um) at pixels from 0.

        `rows` says whether a spectrum runs along rows, that is from column to column.
        """
        spectral, spatial = (x, y) if rows else (y, x)
        away = spatial - self.trace(spectral)
        return self.along(spectral, away), self.wave(spectral, away)

    def on(self, plane: TangentPlane, by: tuple[float, float] | None = None) -> list[list[Surface]]:
        """Places in a plane (arcsec) by the place along the slice and the wavelength.

        Parameters
        ----------
        plane : TangentPlane
        by : (float, float), arcsec, optional
            How far the sky is to be moved first.

        Returns
        -------
        [[xi, eta], ...]
            On one side of the slice, in its middle, on the other.
        """
        ra, dec = (self.ra, self.dec) if by is None else offset(self.ra, self.dec, by)
        places = plane.place(ra, dec)
        return [[Surface.on_nodes(p[k], self.limits) for p in places] for k in range(len(ACROSS))]


@dataclass(frozen=True)
class SliceField:
    """The slices of an exposure by number, and which pixel sees which.

    Attributes
    ----------
    slices : dict of Slice
    rows : bool
        Whether a spectrum runs along rows, that is from column to column.
    runs : (starts, numbers)
        The slice of pixels, in their order in memory, from each start to the next; 0 between slices.
    shape : (int, int)
    angle : float, degrees
        Of an axis across the slices, from north to east.
    cut : (pixels,) int
        Pixels, in their order in memory, at the ends of slices that see the sky in part only.
    """

    slices: dict[int, Slice]
    rows: bool
    runs: tuple[npt.NDArray[np.int64], Labels]
    shape: tuple[int, int]
    angle: float
    cut: Indices

    def labels(self) -> Labels:
        """(rows, columns) int32: the slice that a pixel sees."""
        starts, numbers = self.runs
        ends = np.append(starts[1:], self.shape[0] * self.shape[1])
        return np.repeat(numbers, ends - starts).reshape(self.shape)

    def corners(self) -> tuple[Doubles, Doubles]:
        """The extreme places on the sky of the middles of pixels, right ascension and declination."""
        found = []
        for number, (rows, columns) in by_slice(self.labels()).items():
            one = self.slices[number]
            plane = TangentPlane(float(one.ra.flat[0]), float(one.dec.flat[0]))
            x, y = columns.astype(np.float64), rows.astype(np.float64)
            places = one.coordinates(x, y, rows=self.rows)
            found.append(extremes(*plane.sky(*(axis(*places) for axis in one.on(plane)[1]))))
        return extremes(*(np.concatenate(axis) for axis in zip(*found, strict=True)))


# --- from a gwcs ----------------------------------------------------------------------------------


def field_of(exposure: IFUImageModel, channel: int = 0) -> SliceField:
    """The slices of an exposure, told by its gwcs.

    Parameters
    ----------
    exposure : IFUImageModel
    channel : int
        Of MIRI, whose slices are wanted; 0 for NIRSpec.

    Returns
    -------
    SliceField

    Raises
    ------
    InputError
        When there is no such gwcs, or none of its slices is of the channel.
    """
    unit = _unit_of(exposure)
    labels = unit.labels(exposure.shape[-2:])
    labels[labels // CHANNEL != channel] = 0
    traces, cut = {}, [np.zeros(0, dtype=np.intp)]
    for number, pixels in by_slice(labels).items():
        if number in unit.transforms:
            traces[number], lost = _traced(unit, number, pixels, labels)
            if unit.rows:
                cut.append(np.ravel_multi_index(lost, labels.shape))
            else:
                labels[lost] = 0
    if not traces:
        raise InputError(
            f"{_name(exposure)}: no pixel sees a slice of channel {channel}. Run assign_wcs."
        )
    slices = {one.number: one for one in _on_sky(unit, list(traces.values()))}
    flat = labels.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    runs = (starts, flat[starts])
    angle = _angle(unit, list(slices.values()))
    return SliceField(slices, unit.rows, runs, labels.shape, angle, np.concatenate(cut))


def by_slice(labels: Labels) -> dict[int, Pixels]:
    """Rows and columns of the pixels of each slice.

    Parameters
    ----------
    labels : (rows, columns) int32
        0 between slices.

    Returns
    -------
    dict of (rows, columns) by number
    """
    seen = np.flatnonzero(labels)
    numbers = labels.ravel()[seen]
    order = np.argsort(numbers.astype(np.int16), kind="stable")
    found, first = np.unique(numbers[order], return_index=True)
    parts = np.split(seen[order], first[1:])
    places = (np.divmod(part, labels.shape[1]) for part in parts)
    return dict(zip(found.tolist(), places, strict=True))


@dataclass(frozen=True)
class _Unit:
    """An integral-field unit as its gwcs has it."""

    wcs: WCS
    frame: str  # of places along and across slices
    rows: bool

    @cached_property
    def selector(self) -> Any:
        """The transforms of slices by their number, and what tells the number of a pixel."""
        return self.wcs.get_transform("detector", self.frame)

    @cached_property
    def transforms(self) -> Mapping[int, Model]:
        found: Mapping[int, Model] = self.selector.selector
        return found

    @cached_property
    def before(self) -> Any:
        """From pixels of the array to those of the detector, if they differ."""
        first = self.wcs.available_frames[0]
        found = None if first == "detector" else self.wcs.get_transform(first, "detector")
        return None if found is None or type(found).__name__ == "Identity" else found

    @cached_property
    def to_sky(self) -> Model:
        return self.wcs.get_transform(self.frame, self.wcs.output_frame.name)

    @cached_property
    def factor(self) -> float:
        """Um in the unit of wavelengths among slices."""
        return UM if self.rows else 1.0

    def labels(self, shape: tuple[int, ...]) -> Labels:
        """The slice that each pixel sees."""
        if self.before is None:
            return np.array(self.selector.label_mapper.mapper, dtype=np.int32)
        y, x = np.indices(shape, dtype=np.float64)
        return np.array(self.selector.label_mapper(*self.before(x, y)), dtype=np.int32)

    def known(self, number: int, waves: Interval) -> Interval:
        """The part of wavelengths, um, that the way to the sky is known of."""
        if self.rows:
            return waves
        ranges = self.wcs.get_transform(self.frame, "v2v3").label_mapper.mapper
        channel = number // CHANNEL
        low, high = next(r for r, of in ranges.items() if int(of(0.0, 0.0, r[0])) == channel)
        return Interval(max(waves.low, float(low)), min(waves.high, float(high)))

    def place(self, number: int, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """From pixels to (along, across, wavelength in um) in a slice."""
        x, y = (x, y) if self.before is None else self.before(x, y)
        first, second, wave = self.transforms[number](x, y)
        along, across = (second, first) if self.rows else (first, second)
        return along, across, wave * self.factor

    def sky(self, along: Doubles, across: Doubles, wave: Doubles) -> tuple[Doubles, Doubles]:
        """Right ascension and declination, degrees."""
        first, second = (across, along) if self.rows else (along, across)
        ra, dec, _ = self.to_sky(first, second, wave / self.factor)
        return ra, dec


def _unit_of(exposure: IFUImageModel) -> _Unit:
    wcs = exposure.meta.wcs
    frames = () if wcs is None else wcs.available_frames
    for frame, rows in (("alpha_beta", False), ("slicer", True)):
        if frame in frames:
            return _Unit(wcs, frame, rows)
    raise InputError(
        f"{_name(exposure)}: it has no gwcs of slices, with a frame alpha_beta or slicer. Run "
        "assign_wcs."
    )


def _name(exposure: IFUImageModel) -> str:
    return str(exposure.path or exposure.meta.filename)


@dataclass(frozen=True)
class _Traced:
    """What pixels tell of a slice; see `Slice`."""

    number: int
    trace: Polynomial
    along: Surface
    wave: Surface
    across: float
    limits: tuple[Interval, Interval]


def _traced(unit: _Unit, number: int, pixels: Pixels, labels: Labels) -> tuple[_Traced, Pixels]:
    """Fit what the gwcs says of a slice; and the pixels whose way to the sky is not known."""
    rows, columns = pixels
    spectral, spatial = (columns, rows) if unit.rows else (rows, columns)
    trace = _trace(spectral, spatial)
    away = spatial - trace(spectral)
    limits = (_around(spectral), _around(away))
    tested = np.random.default_rng(0).integers(0, spectral.size, TESTS)
    for size in SIZES if unit.rows else SIZES[1:]:
        chosen = np.isin(spectral, np.round(limits[0].places(LINES * size)))
        some = np.concatenate([tested, np.flatnonzero(chosen)])
        x, y = (axis[some].astype(np.float64) for axis in (columns, rows))
        along, across, wave = unit.place(number, x, y)
        own = (spectral[some].astype(np.float64), away[some])
        fits = [Surface.through((*own, exact), limits, size) for exact in (along, wave)]
        worst = [
            np.abs(fit(own[0][:TESTS], own[1][:TESTS]) - exact[:TESTS]).max() / (np.ptp(exact) or 1)
            for fit, exact in zip(fits, (along, wave), strict=True)
        ]
        if max(worst) < FINE:
            break
    ends = (_range(fits[0]), unit.known(number, _range(fits[1])))
    found = _Traced(number, trace, fits[0], fits[1], float(across[0]), ends)
    if not unit.rows:
        waves = fits[1](spectral.astype(np.float64), away)
        lost = (waves < ends[1].low) | (waves > ends[1].high)
    else:
        lost = np.zeros(rows.size, dtype=bool)
        for which, shift in _beyond(number, pixels, labels):
            there = unit.place(
                number, columns[which].astype(np.float64), rows[which].astype(np.float64) + shift
            )
            lost[which[~np.isfinite(there[2])]] = True
    return found, (rows[lost], columns[lost])


def _around(values: Doubles | Indices) -> Interval:
    """Limits of pixels that have these middles."""
    return Interval(float(values.min()) - 0.5, float(values.max()) + 0.5)


def _range(surface: Surface) -> Interval:
    """Limits of what a surface describes."""
    u, v = np.meshgrid(np.linspace(-1, 1, 65), np.linspace(-1, 1, 17))
    values = surface.at(u, v)
    return Interval(float(values.min()), float(values.max()))


def _trace(spectral: Indices, spatial: Indices) -> Polynomial:
    """The middle of the slice along the spectrum; what is left is for the surfaces."""
    from numpy.polynomial import Polynomial

    count = np.bincount(spectral)
    lines = np.flatnonzero(count)
    middle = np.bincount(spectral, spatial)[lines] / count[lines]
    return Polynomial.fit(lines, middle, min(4, lines.size - 1))


def _beyond(number: int, pixels: Pixels, labels: Labels) -> list[tuple[Indices, float]]:
    """Pixels at both ends of a slice, and where their far corners are from their middle, in rows."""
    rows, columns = pixels
    found = []
    for step, corner in ((-1, -CORNER), (1, CORNER)):
        near = np.clip(rows + step, 0, len(labels) - 1)
        last = (labels[near, columns] != number) | (near == rows)
        found.append((np.flatnonzero(last), corner))
    return found


def _on_sky(unit: _Unit, traces: list[_Traced]) -> list[Slice]:
    """The slices with their places on the sky, all asked for at once."""
    # NIRSpec numbers its slices from the middle outwards, on both sides in turn.
    places = [one.across for one in traces]
    pair = places[:3:2] if unit.rows else sorted(set(places))[:2]
    half = abs(pair[-1] - pair[0]) / 2
    shape = SKY if unit.rows else (SKY[0], 1)
    asked = []
    for one in traces:
        along, wave = nodes(one.limits, shape)
        sides = np.array(ACROSS)[:, None, None] * half + one.across
        asked.append(np.broadcast_arrays(along, sides, wave))
    given = np.array(asked).swapaxes(0, 1)  # along, across, wave; slices, sides, n, m
    ra, dec = (axis.reshape(given[0].shape) for axis in unit.sky(*(g.ravel() for g in given)))
    return [
        Slice(one.number, one.trace, one.along, one.wave, one.limits, ra[k], dec[k], one.across)
        for k, one in enumerate(traces)
    ]


def _angle(unit: _Unit, slices: list[Slice]) -> float:
    """The position angle of slices, and a quarter of a turn, degrees."""
    waves = slices[0].limits[1]
    along = np.array([0.0, 5e-3 if unit.rows else 2.0])  # m at the slicer, arcsec
    ra, dec = unit.sky(along, np.zeros(2), np.full(2, (waves.low + waves.high) / 2))
    east = (ra[1] - ra[0] + 180) % 360 - 180
    turn = np.arctan2(east * np.cos(np.radians(dec[0])), dec[1] - dec[0])
    return float(90 + np.degrees(turn))
