"""Chain: the corrections that a ramp still has to go through, run band by band.

A band has all integrations as long as it is wide enough for that. Longer exposures go through the
chain some integrations at a time, in order.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from stpipe.engine.array_store import ArrayStore
from stpipe.engine.band import IMAGES, PLANES, Array, Band, Strips, finite, joined, read
from stpipe.engine.portion import Integrations, Portion
from stpipe.engine.rectangle import Rectangle
from stpipe.engine.series import LANES, Series, SeriesStore
from stpipe.models.storage.arrays import Stored, blocks_of
from stpipe.models.storage.source import Source
from stpipe.system import progress

if TYPE_CHECKING:
    from stpipe.engine.correction import Correction, Divisible
    from stpipe.models import DataModel
    from stpipe.models.protocols import Meta, Section

__all__ = [
    "Chain",
    "LazyArray",
    "Stage",
    "chain_of",
    "chain_to_fit",
    "compute",
    "defer",
    "edges",
    "filling",
    "flags_mb",
    "hold",
    "is_long",
    "series_mb",
    "spooled",
]

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Model = TypeVar("Model", bound="DataModel")

BAND_BYTES = 8_000_000  # of float32 data: little of it is halo, and it stays in cache
BLOCK_BYTES = 4_000_000  # the same of some integrations, which have no halo if all rows fit
THINNEST = 24  # rows; thinner bands would be mostly halo
NARROWEST = 96  # columns of the thinnest bands with all integrations
FLAGS_ROWS = 8  # rows of a long exposure in which most groups have an unflagged pixel


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a chain, with its reference files and what it learnt beforehand."""

    step: Correction
    references: Divisible
    known: Any = None

    def within(self, block: Chain) -> Stage:
        """The same for some integrations, which the stages before have not corrected yet."""
        if not self.step.local:
            return self
        return replace(self, known=self.step.prepare(block, self.references))

    @cached_property
    def halo(self) -> int:
        """Pixels of neighbours that the step needs."""
        return self.step.reach(self.references)


@dataclass(eq=False)
class Chain:
    """A stored ramp and the stages that it has to go through.

    `totals` and `seconds` fill while the chain runs, one entry for each stage.
    """

    ramp: DataModel
    stages: tuple[Stage, ...] = ()
    threads: int = 1
    height: int | None = None  # rows of a band; None: what fits in cache
    first: int = 0  # number of the first integration; not 0 of a block of a long exposure
    totals: list[Counter[str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    arrays: dict[str, Array | Stored] | None = None  # all arrays, once computed
    answers: dict[tuple[tuple[Stage, ...], int], Array] = field(
        default_factory=dict
    )  # of `everywhere`
    counted: dict[tuple[int, str], Array] = field(default_factory=dict)  # pixels, in blocks
    _lock: Any = field(default_factory=Lock)

    # --- what the exposure is --------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Integrations, groups, rows, columns."""
        return cast("tuple[int, int, int, int]", self.ramp.shape)

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[2:]

    @property
    def meta(self) -> Meta:
        """Metadata of the exposure."""
        return self.ramp.meta

    @property
    def is_long(self) -> bool:
        """Would bands of all integrations be so small that much of them is halo?"""
        return self.height is None and is_long(self.shape)

    # --- some integrations -----------------------------------------------------------------------

    def spans(self) -> list[tuple[int, int]]:
        """First integrations and ends of blocks that go through the chain one after the other."""
        nints, ngroups, rows, columns = self.shape
        if not self.is_long:
            return [(0, nints)]
        fewest_rows = min(rows, 4 * THINNEST)
        samples = BLOCK_BYTES // 4
        return edges(nints, max(samples // (ngroups * fewest_rows * columns), 1))

    def blocks(self) -> Iterator[Chain]:
        """The chain for each block of integrations; for all of them, where bands can have all."""
        if not self.is_long:
            yield self
            return
        for first, end in self.spans():
            yield self.block(first, end)

    def block(self, first: int, end: int) -> Chain:
        """The chain for integrations from `first` up to but without `end`, in bands of whole rows."""
        _, ngroups, rows, columns = self.shape
        fits = BLOCK_BYTES // (4 * (end - first) * ngroups * columns)
        chain = replace(
            self,
            ramp=cast("DataModel", Integrations(self.ramp, first, end)),
            stages=(),
            height=max(min(fits, -(-rows // self.threads)), min(rows, THINNEST)),
            first=self.first + first,
            answers={},
        )
        for stage in self.stages:
            chain = replace(chain, stages=(*chain.stages, stage.within(chain)))
        return chain

    def series(self) -> Iterator[tuple[slice, Array, Array]]:
        """Pixels, numbered row by row, with all their samples and flags: spooled ramps alone.

        The arrays are (integrations, groups, 1, pixels).
        """
        arrays = _arrays(self.ramp)
        tiles = zip(arrays["data"].tiles(), arrays["groupdq"].tiles(), strict=True)
        for (pixels, data), (_, groupdq) in tiles:
            yield pixels, *finite(data[..., None, :], groupdq[..., None, :])

    def beside_series(self, planes: int) -> Series:
        """Room for values (planes, rows, columns) of the pixels, float64, in tiles as `series` has."""
        series: Series = _arrays(self.ramp)["data"]
        return series.beside(planes, np.dtype(np.float64))

    # --- running ---------------------------------------------------------------------------------

    def evaluate(self, own: Rectangle, strips: Strips | None = None) -> Band:
        """The corrected arrays of a rectangle, which is one of many with `strips`."""
        margin = sum(stage.halo for stage in self.stages)
        place = own.grown(margin, self.frame)
        raw = strips.read(place) if strips else read(self.ramp, place, self.frame)
        band = replace(raw, own=own, first=self.first)
        for number, stage in enumerate(self.stages):
            started = time.perf_counter()
            band.known, band.totals, band.counted = stage.known, Counter(), {}
            stage.step.correct(band, stage.references.part(band.place))
            margin -= stage.halo
            band.crop(own.grown(margin, self.frame))
            with self._lock:
                self.totals[number].update(band.totals)
                for name, mask in band.counted.items():
                    self.totals[number][name] += self._newly_counted((number, name), own, mask)
                self.seconds[number] += time.perf_counter() - started
        return band

    def _newly_counted(self, what: tuple[int, str], own: Rectangle, mask: Array) -> int:
        """Pixels of `own` in a mask that no block before had in it."""
        before = self.counted.setdefault(what, np.zeros(self.frame, dtype=bool))[own.section]
        count = int(np.count_nonzero(mask & ~before))
        before |= mask
        return count

    def rectangles(self) -> list[Rectangle]:
        """Bands that cover the exposure: whole rows, or parts of them where they would be too thin."""
        nints, ngroups, rows, columns = self.shape
        pixels = BAND_BYTES // (4 * nints * ngroups)
        height, width = self.height or pixels // columns, columns
        if height < THINNEST and self.height is None:
            # Wide ones: files hold rows.
            height, width = THINNEST, max(pixels // THINNEST, THINNEST)
        return [
            Rectangle(y0, y1, x0, x1)
            for y0, y1 in edges(rows, height)
            for x0, x1 in edges(columns, width)
        ]

    def map(self, function: Callable[[Band], Result]) -> Iterator[tuple[Portion, Result]]:
        """`function` of every corrected band, with the portion of the exposure that it is of."""
        spans = self.spans()
        total = len(spans) * len(
            self.block(*spans[0]).rectangles() if self.is_long else self.rectangles()
        )
        yield from progress.follow(self._run(function), total, self._title())
        for stage, seconds in zip(self.stages, self.seconds, strict=True):
            stage.step.log.info("Step %s done in %.2f s", stage.step.qualified_name, seconds)

    def visit(self, function: Callable[[Band], None]) -> None:
        """`function` of every corrected band, for what it does; nothing is counted."""
        for _ in self._preview()._run(function):  # noqa: SLF001 - the same chain
            pass

    def _title(self) -> str:
        """The title of the progress bar."""
        names = [stage.step.qualified_name for stage in self.stages] or ["ramps"]
        return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"

    def _run(self, function: Callable[[Band], Result]) -> Iterator[tuple[Portion, Result]]:
        self.totals = [Counter() for _ in self.stages]
        self.seconds = [0.0] * len(self.stages)
        self.counted = {}
        for block in self.blocks():
            end = block.first - self.first + block.shape[0]
            for place, result in block.each(function):
                yield Portion(block.first - self.first, end, place), result

    def each(self, function: Callable[[Band], Result]) -> Iterator[tuple[Rectangle, Result]]:
        """`function` of every corrected band of all integrations."""
        places, strips = self.rectangles(), Strips(self.ramp, self.frame)

        def result(place: Rectangle) -> tuple[Rectangle, Result]:
            return place, function(self.evaluate(place, strips))

        if self.threads == 1:
            yield from map(result, places)
        else:
            yield from _side_by_side(result, places, self.threads)

    def finish(self, meta: Meta) -> None:
        """Write what the stages counted into metadata."""
        for stage, totals in zip(self.stages, self.totals, strict=False):
            stage.step.finish(meta, totals, stage.known)

    def materialize(self) -> dict[str, Array | Stored]:
        """All arrays, computed once; large ones are in scratch files."""
        if self.arrays is None:
            self.arrays = self.fill(ArrayStore())
        return self.arrays

    def fill(self, store: ArrayStore) -> dict[str, Array | Stored]:
        """All arrays, computed into a store."""
        for portion, band in self.map(lambda band: band):
            for name in PLANES:
                if (part := getattr(band, name)) is None:
                    continue
                inner = part.shape[:-2] if name in IMAGES else (self.shape[0], *part.shape[1:-2])
                section = portion.section(part.ndim)
                if store.shape(name) is None:
                    store.make(name, (*inner, *self.frame), part.dtype)
                if name == "pixeldq" and portion.first:
                    part = part | store.part(name, section)
                store.fill(name, section, part)
        return store.finished()

    # --- questions that steps ask before they correct anything ------------------------------------

    def everywhere(self, bits: int) -> Array:
        """In which groups all pixels have one of `bits` in GROUPDQ: (integrations, groups), bool.

        Bands are looked at until all groups are decided; most are by the first.
        """
        stages = self.stages
        while stages and not stages[-1].step.flags & bits:
            stages = stages[:-1]
        asked = (stages, bits)
        if asked not in self.answers:
            self.answers[asked] = replace(self, stages=stages).scan(bits)
        return self.answers[asked]

    def scan(self, bits: int) -> Array:
        """Read bands until every group has an unflagged pixel, or a step is certain to flag it."""
        candidates = np.ones(self.shape[:2], dtype=bool)
        certain = np.zeros(self.shape[:2], dtype=bool)
        for stage in self.stages:
            certain |= stage.step.flags_everywhere(bits, self.shape[:2])
        for block in self._preview().blocks():
            here = slice(block.first - self.first, block.first - self.first + block.shape[0])
            strips = Strips(block.ramp, block.frame)
            rows = FLAGS_ROWS if self.is_long else block.height
            for place in replace(block, height=rows).rectangles():
                band = block.evaluate(place, strips)
                candidates[here] &= ((band.groupdq & bits) != 0).all(axis=(2, 3))
                if not (candidates[here] & ~certain[here]).any():
                    break
        return candidates

    def part(self, rows: slice, columns: slice) -> Band:
        """The corrected arrays of a part of the exposure."""
        y0, y1, _ = rows.indices(self.frame[0])
        x0, x1, _ = columns.indices(self.frame[1])
        place = Rectangle(y0, y1, x0, x1)
        return joined([block.evaluate(place) for block in self._preview().blocks()])

    def _preview(self) -> Chain:
        """The same chain with counts of its own, which are dropped."""
        return replace(
            self,
            totals=[Counter() for _ in self.stages],
            seconds=[0.0] * len(self.stages),
            counted={},
        )


def _side_by_side(
    function: Callable[[Rectangle], Result], places: Sequence[Rectangle], threads: int
) -> Iterator[Result]:
    """Results in order, made in threads that run ahead of who takes them by as many bands only."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for place in places:
            waiting.append(pool.submit(function, place))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def edges(size: int, step: int) -> list[tuple[int, int]]:
    """Equal parts of about `step`: a last one of a single row would be all halo."""
    count = -(-size // step)
    return list(pairwise(size * n // count for n in range(count + 1)))


# --- arrays that wait for their chain ---------------------------------------------------------------


@dataclass(frozen=True)
class LazyArray(Stored):
    """An array of a ramp whose chain has not run yet."""

    chain: Chain = None  # type: ignore[assignment] # fields of the base have no defaults
    name: str = ""

    def read(self, dtype: np.dtype[Any] | None = None) -> Array:
        """Run the chain."""
        array = self.chain.materialize()[self.name]
        values = array.read() if isinstance(array, Stored) else array
        return values if dtype is None else values.astype(dtype, copy=False)

    def section(self, key: Section, dtype: np.dtype[Any] | None = None) -> Array:
        """A part of the array; the whole chain runs."""
        array = self.chain.materialize()[self.name]
        if isinstance(array, Stored):
            return array.section(key, dtype)
        part: Array = array[key]
        return part if dtype is None else part.astype(dtype, copy=False)

    def pieces(self) -> Iterator[memoryview]:
        """The bytes of the array, native."""
        for block in blocks_of(self.chain.materialize()[self.name]):
            yield np.ascontiguousarray(block, self.raw).data.cast("B")


def chain_of(ramp: DataModel) -> Chain:
    """The chain of a ramp; an empty one if no correction is deferred."""
    chains = _waiting(ramp)
    data = _arrays(ramp).get("data")
    if isinstance(data, LazyArray) and chains == [data.chain] and data.chain.arrays is None:
        return data.chain
    # Pixels were computed or assigned: start from these.
    compute(ramp)
    return Chain(ramp.copy())


def _waiting(ramp: DataModel) -> list[Chain]:
    """The chains of the ramp's lazy arrays."""
    chains = (array.chain for array in _arrays(ramp).values() if isinstance(array, LazyArray))
    return list(dict.fromkeys(chains))


def defer(ramp: Model, step: Correction, references: Divisible) -> Model:
    """Add a correction to the chain of a ramp; `prepare` of the step runs now."""
    before = replace(chain_of(ramp), threads=step.threads)
    if step.compares_integrations and before.is_long:
        before = spooled(ramp, step.threads)
    seen = next(before.blocks()) if step.local else before
    stage = Stage(step, references, step.prepare(seen, references))
    chain = replace(before, stages=(*before.stages, stage), arrays=None)
    arrays = _arrays(ramp)
    nowhere = Source(Path(), (0, 0, 0), 0)
    for name, (shape, dtype) in _forms(chain).items():
        arrays[name] = LazyArray(nowhere, 0, np.dtype(dtype), shape, None, chain, name)
        ramp._made.pop(name, None)  # noqa: SLF001 - what was read before holds no more
    return ramp


def spooled(ramp: DataModel, threads: int) -> Chain:
    """The chain of a ramp of which the samples of a pixel lie together, in a scratch file.

    What the ramp still had to go through runs.
    """
    chain = replace(chain_of(ramp), threads=threads)
    arrays = _arrays(ramp)
    if chain.stages or not isinstance(arrays.get("data"), Series):
        for name, array in chain.fill(SeriesStore(chain.shape, BAND_BYTES)).items():
            hold(ramp, name, array)
        chain.finish(ramp.meta)
    return replace(Chain(ramp.copy()), threads=threads)


def chain_to_fit(ramp: DataModel) -> Chain:
    """The chain of a ramp for a fit, which goes through long exposures twice.

    What such a ramp had to go through is not run twice, but for what follows where it is spooled.
    """
    chain = chain_of(ramp)
    there = isinstance(_arrays(chain.ramp).get("data"), Series)
    return spooled(ramp, chain.threads) if chain.is_long and chain.stages and not there else chain


def compute(ramp: DataModel) -> None:
    """Run the chains of a ramp's lazy arrays, and let their steps finish."""
    arrays = _arrays(ramp)
    for chain in _waiting(ramp):
        values = chain.materialize()
        for name, array in arrays.items():
            if isinstance(array, LazyArray) and array.chain is chain:
                arrays[name] = values[name]
        chain.finish(ramp.meta)


def _forms(chain: Chain) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of the arrays that a chain makes."""
    nints, _, rows, columns = chain.shape
    forms: dict[str, tuple[tuple[int, ...], str]] = {
        "data": (chain.shape, "f4"),
        "groupdq": (chain.shape, "u1"),
        "pixeldq": ((rows, columns), "u4"),
    }
    made = {name for stage in chain.stages for name in stage.step.makes}
    if "average_dark_current" in made or chain.ramp.has("average_dark_current"):
        forms["average_dark_current"] = ((rows, columns), "f4")
    if chain.ramp.has("zeroframe"):
        forms["zeroframe"] = ((nints, rows, columns), "f4")
    return forms


def hold(model: DataModel, name: str, array: Array | Stored) -> None:
    """Set an array of a model, in memory or in a file."""
    if isinstance(array, Stored):
        _arrays(model)[name] = array
    else:
        setattr(model, name, array)


def _arrays(ramp: DataModel) -> dict[str, Any]:
    """The arrays of a model as they are, without reading any."""
    return ramp._content.arrays  # noqa: SLF001 - the engine is a part of the models' storage


# --- memory ----------------------------------------------------------------------------------------


def is_long(shape: tuple[int, ...]) -> bool:
    """Does a ramp (integrations, groups, rows, columns) go through its steps in blocks?"""
    nints, ngroups, rows, columns = shape
    pixels = BAND_BYTES // (4 * nints * ngroups)
    return nints > 1 and pixels < min(THINNEST * NARROWEST, rows * columns)


def flags_mb(shape: tuple[int, ...]) -> float:
    """MB of the flags that are held while a ramp (integrations, groups, rows, columns) is corrected."""
    nints, ngroups, rows, columns = shape
    thin = BAND_BYTES // (4 * nints * ngroups * columns) < THINNEST and not is_long(shape)
    return ngroups * rows * columns * (nints if thin else 1) / 1e6


def series_mb(shape: tuple[int, ...]) -> float:
    """MB of pixels of a long ramp with all their samples, and of what a step makes of them."""
    nints, ngroups = shape[:2]
    return 10e-6 * LANES * nints * ngroups + 25 if is_long(shape) else 0.0


def filling(shape: tuple[int, ...]) -> float:
    """Share of a full band that a ramp fills: small ones fit whole."""
    return min(1.0, 4 * math.prod(shape) / BAND_BYTES)
