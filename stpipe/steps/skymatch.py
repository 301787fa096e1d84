"""Measure the sky of exposures so that they agree where they overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.library_step import LibraryStep
from stpipe.step import Output
from stpipe.steps._invalid import assign, values_of
from stpipe.steps.sky_grid import corners_of
from stpipe.steps.sources import usable

if TYPE_CHECKING:
    from stpipe.models import DataModel, ModelLibrary
    from stpipe.steps._arrays import Booleans, Doubles, Floats

__all__ = ["Overlap", "SkyMatchStep", "SkyStatistic", "inside", "matched"]


ENOUGH = 100_000  # pixels: their level is as good as a three hundredth of their scatter


class SkyMatchStep(LibraryStep):
    """Measure the sky of exposures so that they agree where they overlap.

    With `match` the levels are those whose differences fit best, by least squares, to the differences
    that are measured in the overlaps of pairs of exposures; one constant is free, and the lowest
    level (`match_down`) or the highest becomes 0. With `local` each exposure has its own level, with
    `global` all of them the lowest; `global+match` is both. BKGLEVEL holds the result. It is only
    subtracted from the data with `subtract`; else resample does so. Of an exposure no more than 100,000
    pixels are looked at, evenly spread.

    Levels of the user are not implemented.
    """

    alias = "skymatch"
    suffix = "skymatch"
    status = "skymatch"
    input_models = ("ImageModel",)
    outputs = (Output("members", "ImageModel", "skymatch", many=True),)
    prerequisites = ("meta.wcsinfo.s_region",)
    spec = """
        skymethod = option(local, global, match, global+match, default=match)  # Which levels
        match_down = boolean(default=True)  # The lowest level is 0, else the highest
        subtract = boolean(default=False)  # Subtract the levels from the data
        skystat = option(median, mean, mode, default=mode)  # What a level is of the pixels left
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
    skystat: str
    lower: float | None
    upper: float | None
    nclip: int
    lsigma: float
    usigma: float
    binwidth: float

    def process(self, library: ModelLibrary) -> Any:
        """Measure levels, one exposure after the other, and note them."""
        members = library.of_type("science")
        levels = self._levels(library, members)
        for number, level in zip(members, levels, strict=True):
            self.log.info("%s: %.6g", library.members[number].path.name, level)
            about = {"method": self.skymethod, "level": float(level), "subtracted": self.subtract}
            values = {f"meta.background.{name}": value for name, value in about.items()}
            library.amend_member(number, values, _subtract(float(level)) if self.subtract else None)
        return library

    def _levels(self, library: ModelLibrary, members: Sequence[int]) -> Doubles:
        statistic = SkyStatistic(
            self.skystat,
            (self.lower, self.upper),
            self.nclip,
            (self.lsigma, self.usigma),
            self.binwidth,
        )
        regions = [corners_of(library.metadata(n).get("meta.wcsinfo.s_region")) for n in members]
        alone = np.zeros(len(members))
        overlaps: dict[tuple[int, int], Overlap] = {}
        for place, number in enumerate(members):
            with library[number] as member:
                if member.meta.wcs is None:
                    raise InputError(f"{self.qualified_name}: {library.path(number)} has no gwcs.")
                sample = Sample.of(member.data, usable(member.data, member.dq), member.meta.wcs)
                if self.skymethod != "match":
                    alone[place] = statistic(sample.data[sample.good]).level
                if "match" in self.skymethod:
                    overlaps |= _overlaps(sample, regions, place, statistic)
        if self.skymethod == "local":
            return alone
        if self.skymethod == "global":
            return np.full(len(members), alone.min())
        found = matched(overlaps, len(members), down=self.match_down)
        return found + alone.min() if self.skymethod == "global+match" else found


def _subtract(level: float) -> Any:
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

    kind: str
    limits: tuple[float | None, float | None]
    nclip: int
    sigmas: tuple[float, float]
    binwidth: float

    def __call__(self, values: Floats) -> Overlap:
        """The level of values; 0 of 0 pixels where none is left."""
        low = -np.inf if self.limits[0] is None else self.limits[0]
        high = np.inf if self.limits[1] is None else self.limits[1]
        kept = values.astype(np.float64)
        kept = kept[(kept >= low) & (kept <= high)]
        for _ in range(self.nclip):
            before = kept.size
            if not before:
                break
            centre, width = np.median(kept), kept.std()
            inner = (kept >= centre - self.sigmas[0] * width) & (
                kept <= centre + self.sigmas[1] * width
            )
            kept = kept[inner]
            if kept.size == before:
                break
        return Overlap(self._level(kept), kept.size) if kept.size else Overlap(0.0, 0)

    def _level(self, kept: Doubles) -> float:
        if self.kind == "mean":
            return float(kept.mean())
        width = kept.std()
        if self.kind == "median" or width == 0:
            return float(np.median(kept))
        bins = max(1, int(np.ceil(np.ptp(kept) / (self.binwidth * width))))
        counts, edges = np.histogram(kept, bins)
        return _peak(counts, edges)


def _peak(counts: Any, edges: Doubles) -> float:
    """Place of the peak of a histogram: the middle of the bins around it, weighted by counts."""
    top = int(counts.argmax())
    part = slice(max(0, top - 2), top + 3)
    centres = (edges[:-1] + edges[1:])[part] / 2
    return float(np.average(centres, weights=counts[part]))


# --- overlaps -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Every `step`-th pixel of an exposure in both directions: enough of them for a level."""

    data: Floats
    good: Booleans
    step: int
    wcs: Any

    @classmethod
    def of(cls, data: Floats, good: Booleans, wcs: Any) -> Sample:
        """The sample of an exposure, of at most `ENOUGH` pixels."""
        step = int(np.ceil(np.sqrt(data.size / ENOUGH)))
        return cls(data[::step, ::step], good[::step, ::step], step, wcs)


def _overlaps(
    sample: Sample, regions: Sequence[Doubles], place: int, statistic: SkyStatistic
) -> dict[tuple[int, int], Overlap]:
    """The level of an exposure in its overlap with each of the others."""
    found = {}
    for other, corners in enumerate(regions):
        if other != place and len(corners) == 4:  # noqa: PLR2004 - one polygon of four corners
            x, y = sample.wcs.invert(*corners.T, with_bounding_box=False)
            common = inside(np.column_stack([x, y]) / sample.step, sample.good.shape) & sample.good
            if common.any():
                found[place, other] = statistic(sample.data[common])
    return found


def inside(corners: Doubles, shape: tuple[int, int]) -> Booleans:
    """Pixels (rows, columns) whose centre is in the convex polygon of corners (n, 2: x, y)."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    edges = np.roll(corners, -1, axis=0) - corners
    turn = np.sign(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0])
    held = np.ones(shape, dtype=bool)
    for (x, y), (dx, dy) in zip(corners, edges, strict=True):
        held &= turn * (dx * (rows - y) - dy * (columns - x)) >= 0
    return held


def matched(overlaps: Mapping[tuple[int, int], Overlap], count: int, *, down: bool) -> Doubles:
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
    free = levels[known].min() if down else levels[known].max()
    return np.where(known, levels - free, 0.0)
