"""Measure the sky of exposures so that they agree where they overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stpipe import naming
from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import InputError, ParameterError
from stpipe.models import dqflags
from stpipe.references.selection import Reference, override
from stpipe.science.arrays import has
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.mosaics.sky_grid import polygons_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from gwcs import WCS

    from stpipe.models import DataModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = ["Overlap", "SkyMatchStep", "SkyStatistic", "inside", "matched", "neighbours"]


ENOUGH = 100_000  # pixels: their level is as good as a three hundredth of their scatter


class SkyMatchStep(LibraryStep):
    """Measure the sky of exposures so that they agree where they overlap.

    With `match` the levels are those whose differences fit best, by least squares, to the differences
    that are measured in the overlaps of pairs of exposures; one constant is free, and the lowest
    level (`match_down`) or the highest becomes 0. With `local` each exposure has its own level, with
    `global` all of them the lowest; `global+match` is both. With `user` levels are those of a file,
    `skylist`, whose lines have the name of an exposure and its level. Detectors that saw the sky
    together have one level. BKGLEVEL holds the result. It is only subtracted from the data with
    `subtract`; else resample does so. Of an image no more than 100,000 pixels are looked at, evenly
    spread.
    """

    alias = "skymatch"
    suffix = "skymatch"
    status = "skymatch"
    input_models = ("ImageModel",)
    member_types = ("science",)
    outputs = (Output("members", "ImageModel", "skymatch", many=True),)
    prerequisites = ("meta.wcsinfo.s_region",)
    spec = """
        skymethod = option(local, global, match, global+match, user, default=match)  # Which levels
        match_down = boolean(default=True)  # The lowest level is 0, else the highest
        subtract = boolean(default=False)  # Subtract the levels from the data
        skylist = string(default=None)  # File with names of exposures and levels, for the method user
        skystat = option(median, midpt, mean, mode, default=mode)  # What a level is of the pixels left
        dqbits = string(default="~DO_NOT_USE+NON_SCIENCE")  # Flags of pixels that count all the same
        lower = float(default=None)  # Values below do not count
        upper = float(default=None)  # Values above do not count
        nclip = integer(min=0, default=5)  # Rounds of leaving out outliers
        lsigma = float(min=0, default=4.0)  # Standard deviations below which values are left out
        usigma = float(min=0, default=4.0)  # Standard deviations above which values are left out
        binwidth = float(min=0.001, default=0.1)  # Bins that the mode is found in, standard deviations
    """
    skymethod: str
    match_down: bool
    subtract: bool
    skylist: str | None
    skystat: str
    dqbits: str
    lower: float | None
    upper: float | None
    nclip: int
    lsigma: float
    usigma: float
    binwidth: float

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The file of levels: an input that is tracked and recorded as references are."""
        del meta
        if self.skymethod != "user":
            return {}
        if self.skylist is None:
            raise ParameterError("skymethod=user needs skylist, a file of names and levels.")
        return {"skylist": override("skylist", self.skylist)}

    def process(self, library: ModelLibrary) -> ModelLibrary:
        """Measure levels, one exposure after the other, and note them."""
        members = library.of_type("science")
        known = self.selected.get("skylist")
        if known is None:
            levels = self._levels(library, members)
        else:
            names = [library.members[number].path.name for number in members]
            levels = levels_of_file(Path(str(known.path)), names)
        for number, level in zip(members, levels, strict=True):
            self.log.info("%s: %.6g", library.members[number].path.name, level)
            self._note(library, number, float(level))
        return library

    def _note(self, library: ModelLibrary, number: int, level: float) -> None:
        """Have a member know its level, and lose it if that is asked for."""
        before = library.metadata(number).meta.background
        total = level + (before.level or 0.0 if before.subtracted else 0.0)
        if before.subtracted and not self.subtract:
            raise InputError(
                f"{self.qualified_name}: the sky of {library.path(number)} is subtracted already. "
                "Subtract what is left, too (subtract=True), or give an earlier product."
            )
        about = {"method": self.skymethod, "level": total, "subtracted": self.subtract}
        values = {f"meta.background.{name}": value for name, value in about.items()}
        library.amend_member(number, values, _subtract(level) if self.subtract else None)

    def _levels(self, library: ModelLibrary, members: Sequence[int]) -> Doubles:
        groups = _places_of_groups(library, members)
        alone, overlaps = self._measured(library, members, groups)
        lowest = [min(alone[place] for place in places) for places in groups]
        if self.skymethod == "local":
            found = np.array(lowest)
        elif self.skymethod == "global":
            found = np.full(len(groups), min(lowest))
        else:
            found = matched(overlaps, len(groups), match_down=self.match_down)
            if self.skymethod == "global+match":
                found += (lowest - found).min()
        levels = np.zeros(len(members))
        for level, places in zip(found, groups, strict=True):
            levels[places] = level
        return levels

    def _measured(
        self, library: ModelLibrary, members: Sequence[int], groups: Sequence[Sequence[int]]
    ) -> tuple[Doubles, dict[tuple[int, int], Overlap]]:
        """The level of each image where it is asked for, and of each group in others' overlaps."""
        statistic = SkyStatistic(
            self.skystat,
            self.lower,
            self.upper,
            self.nclip,
            self.lsigma,
            self.usigma,
            self.binwidth,
        )
        regions = [polygons_of(library.metadata(n).get("meta.wcsinfo.s_region")) for n in members]
        outlines = [[polygon for n in places for polygon in regions[n]] for places in groups]
        near = neighbours([np.vstack(outline) for outline in outlines])
        alone = np.zeros(len(members))
        parts: dict[tuple[int, int], list[Overlap]] = {}
        for own, places in enumerate(groups):
            for place in places:
                sample = self._sample(library, members[place])
                if self.skymethod != "match":
                    alone[place] = statistic(sample.data[sample.good]).level
                if "match" in self.skymethod:
                    around = {other: outlines[other] for other in near[own]}
                    for other, overlap in _overlaps(sample, around, statistic):
                        parts.setdefault((own, other), []).append(overlap)
        return alone, {pair: _together(overlaps) for pair, overlaps in parts.items()}

    def _sample(self, library: ModelLibrary, number: int) -> Sample:
        with library[number] as member:
            if member.meta.wcs is None:
                raise InputError(
                    f"{self.qualified_name}: {library.path(number)} has no gwcs. Run assign_wcs."
                )
            return Sample.of(member.data, member.dq, dqflags.excluded(self.dqbits), member.meta.wcs)


def _places_of_groups(library: ModelLibrary, members: Sequence[int]) -> list[list[int]]:
    """Places in the list of members of those that are one exposure."""
    place = {number: place for place, number in enumerate(members)}
    found = [[place[n] for n in numbers if n in place] for numbers in library.groups.values()]
    return [places for places in found if places]


def levels_of_file(path: Path, names: Sequence[str]) -> Doubles:
    """The level of each exposure, from lines of names and levels; suffixes do not matter.

    Raises
    ------
    InputError
        When lines are something else, or an exposure has no level or two.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    try:
        listed = [(naming.split(name).root, float(level)) for name, level in filter(None, lines)]
    except ValueError:
        raise InputError(f"{path}: allowed are lines of a name and a level.") from None
    found = {name: [v for n, v in listed if n == naming.split(name).root] for name in names}
    if wrong := [f"{name} is listed {len(v)} times" for name, v in found.items() if len(v) != 1]:
        raise InputError(f"{path}: {', '.join(wrong)}, allowed: once each.")
    return np.array([found[name][0] for name in names])


def _subtract(level: float) -> Callable[[DataModel], None]:
    """A change that subtracts a level."""

    def change(member: DataModel) -> None:
        values = values_of(member)
        values["data"] = values["data"] - np.float32(level)
        assign(member, values, member.dq)

    return change


# --- one level ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """Level of an exposure in an overlap, and of how many pixels."""

    level: float
    count: int


@dataclass(frozen=True)
class SkyStatistic:
    """A level from pixels without those outside limits and without outliers."""

    skystat: str
    lower: float | None
    upper: float | None
    nclip: int
    lsigma: float
    usigma: float
    binwidth: float

    def __call__(self, values: Floats) -> Overlap:
        """The level of values; 0 of 0 pixels where none is left."""
        low = -np.inf if self.lower is None else self.lower
        high = np.inf if self.upper is None else self.upper
        kept = values.astype(np.float64)
        kept = kept[(kept >= low) & (kept <= high)]
        for _ in range(self.nclip):
            before = kept.size
            if not before:
                break
            centre, width = np.median(kept), kept.std()
            low, high = centre - self.lsigma * width, centre + self.usigma * width
            kept = kept[(kept >= low) & (kept <= high)]
            if kept.size == before:
                break
        return Overlap(self._level(kept), kept.size) if kept.size else Overlap(0.0, 0)

    def _level(self, kept: Doubles) -> float:
        if self.skystat == "mean":
            return float(kept.mean())
        width = kept.std()
        if self.skystat in ("median", "midpt") or width == 0:
            return float(np.median(kept))
        bins = max(1, int(np.ceil(np.ptp(kept) / (self.binwidth * width))))
        counts, edges = np.histogram(kept, bins)
        return _peak(counts, (edges[:-1] + edges[1:]) / 2, float(width))


def _peak(counts: npt.NDArray[np.intp], centres: Doubles, width: float) -> float:
    """Place of the peak of a histogram: of the Gaussian that fits best within `width` of it.

    The highest bin alone is off by several bins, as noise decides among those near the peak.
    """
    near = (np.abs(centres - centres[counts.argmax()]) <= width) & (counts > 0)
    x, heights = centres[near], counts[near]
    middle = float(np.average(x, weights=heights))
    if x.size < 4:  # noqa: PLR2004 - as many as a parabola needs, and one
        return middle
    bend, slope, _ = np.polyfit(x - middle, np.log(heights), 2, w=np.sqrt(heights))
    return middle - slope / (2 * bend) if bend < 0 and abs(slope) < -2 * bend * width else middle


# --- overlaps -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Every `step`-th pixel of an exposure in both directions: enough of them for a level."""

    data: Floats
    good: Booleans
    step: int
    wcs: WCS

    @classmethod
    def of(cls, data: Floats, dq: Bits, bad: int, wcs: WCS) -> Sample:
        """The sample of an image, of at most `ENOUGH` pixels; those with a bad bit do not count."""
        step = int(np.ceil(np.sqrt(data.size / ENOUGH)))
        data = np.array(data[::step, ::step])
        return cls(data, np.isfinite(data) & ~has(dq[::step, ::step], bad), step, wcs)

    def within(self, polygons: Sequence[Doubles]) -> Booleans:
        """Good pixels that lie in one of the polygons (corners in degrees), borders included."""
        found: Booleans = np.zeros(self.good.shape, dtype=bool)
        for polygon in polygons:
            x, y = self.wcs.invert(*polygon.T, with_bounding_box=False)
            found |= inside(np.column_stack([x, y]) / self.step, self.good.shape)
        return found & self.good


def neighbours(outlines: Sequence[Doubles]) -> list[list[int]]:
    """The others whose circle touches that of each outline (corners in degrees, (n, 2)).

    Pixels need only be compared with those: most exposures of a large mosaic are far apart.
    """
    found = [_circle(corners) for corners in outlines]
    middles, radii = np.array([middle for middle, _ in found]), np.array([r for _, r in found])
    near = []
    for own, (middle, radius) in enumerate(found):
        apart = np.sqrt(((middles - middle) ** 2).sum(axis=1))
        touching = np.flatnonzero(apart <= radii + radius)
        near.append([int(other) for other in touching if other != own])
    return near


def _circle(corners: Doubles) -> tuple[Doubles, float]:
    """Middle (a direction) and radius, as a chord, of a circle that holds corners in degrees."""
    lon, lat = np.deg2rad(corners).T
    directions = np.column_stack(
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
    )
    middle: Doubles = directions.mean(axis=0)
    return middle, float(np.sqrt(((directions - middle) ** 2).sum(axis=1)).max())


def _overlaps(
    sample: Sample, outlines: Mapping[int, Sequence[Doubles]], statistic: SkyStatistic
) -> Iterator[tuple[int, Overlap]]:
    """Other exposures by number, and the level of an image in its overlap with each of them."""
    for other, regions in outlines.items():
        common = sample.within(regions)
        if common.any():
            yield other, statistic(sample.data[common])


def _together(overlaps: Sequence[Overlap]) -> Overlap:
    """The level of several images of an exposure in its overlap with another."""
    count = sum(overlap.count for overlap in overlaps)
    total = sum(overlap.level * overlap.count for overlap in overlaps)
    return Overlap(total / count, count) if count else Overlap(0.0, 0)


def inside(corners: Doubles, shape: tuple[int, ...]) -> Booleans:
    """Pixels (rows, columns) whose centre is in a polygon of corners (n, 2: x, y) or on its border."""
    from skimage.measure import grid_points_in_poly

    held: Booleans = grid_points_in_poly(shape, corners[:, ::-1], binarize=False) > 0
    return held


def matched(
    overlaps: Mapping[tuple[int, int], Overlap], count: int, *, match_down: bool
) -> Doubles:
    """Levels of `count` exposures whose differences fit best to those in the overlaps.

    Every pair counts by the square root of its pixels. Exposures that overlap with no other get 0.
    """
    rows, targets = [], []
    for (one, other), here in overlaps.items():
        there = overlaps.get((other, one))
        if one < other and there is not None and here.count and there.count:
            weight = np.sqrt(min(here.count, there.count))
            row = np.zeros(count)
            row[one], row[other] = weight, -weight
            rows.append(row)
            targets.append(weight * (here.level - there.level))
    if not rows:
        return np.zeros(count)
    levels: Doubles = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
    known = (np.array(rows) != 0).any(axis=0)
    free = levels[known].min() if match_down else levels[known].max()
    return np.where(known, levels - free, 0.0)
