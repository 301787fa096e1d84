"""Reference files: which one applies to an exposure, and the part of it that the exposure needs.

Selection has three origins: an override given by the user, the plan of a Snakemake project, or the
rules of CRDS. Whatever the origin, a step sees a mapping from reference type to an opened model cut
to the exposure's subarray.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from stpipe.errors import InputError, ReferenceMissing
from stpipe.system import disk_cache

if TYPE_CHECKING:
    from stpipe.engine.band import Rectangle
    from stpipe.models import DataModel

__all__ = [
    "Candidate",
    "CutReference",
    "Explanation",
    "FixedResolver",
    "Reference",
    "References",
    "Resolver",
    "hash_ahead",
    "metadata_of",
    "override",
    "sha256",
]

NOT_APPLICABLE = "N/A"
SETTLED = 2_000_000_000  # ns after which a file's time stamps tell every change
EXPOSURES = ("Level1bModel", "RampModel", "GuiderRawModel")  # read like references, but none
INTERLEAVED = (3200, 2048)  # rows and columns of NIRSpec's IRS2 readout
FULL_FRAMES = ((2048, 2048), (1024, 1032), INTERLEAVED)  # NIR detectors; MIRI (rows, columns)
LARGEST_KERNEL = 15  # pixels; anything larger on both axes is an image of the detector


@dataclass(frozen=True)
class Reference:
    """A selected reference file; `path` is None when the rules say that none applies (N/A)."""

    type: str
    path: Path | None
    context: str = ""  # CRDS context that selected it; empty for an override
    origin: str = "override"  # who selected it when CRDS did not

    @property
    def recorded_name(self) -> str:
        """What R_<type> says: `crds://<name>` when CRDS selected it, the bare name otherwise."""
        if self.path is None:
            return NOT_APPLICABLE
        return f"crds://{self.path.name}" if self.context else self.path.name

    def record(self) -> dict[str, str]:
        """Name, checksum and origin for a product's provenance."""
        origin = {"context": self.context} if self.context else {"origin": self.origin}
        if self.path is None:
            return {"name": NOT_APPLICABLE, **origin}
        return {"name": self.path.name, "sha256": sha256(self.path), **origin}


def sha256(path: Path) -> str:
    """Checksum of a file's content, computed once for each state of the file."""
    known = _state(path)
    return _AHEAD[known].result() if known in _AHEAD else _sha256(*known)


def hash_ahead(paths: Iterable[Path]) -> None:
    """Begin with checksums that will be asked for in this order, in a thread beside the work."""
    ahead = {state: Future[str]() for state in map(_state, paths) if state not in _AHEAD}
    _AHEAD.update(ahead)
    if ahead:
        # One that nobody waits for does not keep the process alive.
        Thread(target=_hash, args=(ahead,), daemon=True).start()


State: TypeAlias = "tuple[Path, tuple[int, ...] | None]"
_AHEAD: dict[State, Future[str]] = {}


def _state(path: Path) -> State:
    state = disk_cache.state_of(path)
    return path.absolute(), None if state is None else tuple(state)


def _hash(ahead: Mapping[State, Future[str]]) -> None:
    for state, future in ahead.items():
        try:
            future.set_result(_sha256(*state))
        except Exception as error:  # noqa: BLE001 - it is raised where the checksum is asked for
            future.set_exception(error)


def metadata_of(path: Path) -> Any:
    """Metadata of a reference file, read once for each state of the file in a process."""
    state = path.stat()
    return _metadata(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _metadata(path: Path, size: int, mtime: int) -> Any:
    from stpipe import models

    del size, mtime  # part of the cache's key only
    return models.open_metadata(path)


@lru_cache(maxsize=1024)
def _sha256(path: Path, state: tuple[int, ...] | None) -> str:
    kept = disk_cache.recall("sha256", path, state)
    if kept is not None:
        return str(kept)
    started = time.time_ns()
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    # What was written a moment ago may be written again within a tick of the file system's clock.
    settled = state is not None and started - max(state[-2:]) > SETTLED
    if settled and disk_cache.state_of(path) == list(state or ()):
        disk_cache.keep(found, "sha256", path, state)
    return found


@dataclass(frozen=True)
class Candidate:
    """A file that the rules choose from, with what they ask of an exposure."""

    file: str
    asks: Mapping[str, str]


@dataclass(frozen=True)
class Explanation:
    """Why the rules choose a file: what they look at in the exposure, and all they choose from."""

    rules: str  # the file that holds the rules
    criteria: Mapping[str, Any]
    candidates: tuple[Candidate, ...]


class Resolver(Protocol):
    """Selects reference files for an exposure; `meta` maps dotted metadata names to values."""

    def select(self, meta: Mapping[str, Any], types: Iterable[str]) -> dict[str, Reference]:
        """One `Reference` for each of `types`; ReferenceMissing when there is none for one."""
        ...

    def find(self, meta: Mapping[str, Any], types: Iterable[str]) -> dict[str, Reference]:
        """A `Reference` for those of `types` for which there is one."""
        ...

    def explain(self, meta: Mapping[str, Any], reference_type: str) -> Explanation:
        """What decides about the file of a type."""
        ...


def override(reference_type: str, value: str) -> Reference:
    """The reference that a user named with `override_<type>`.

    Raises
    ------
    ReferenceMissing
        When the file is not there.
    """
    if value.upper() == NOT_APPLICABLE:
        return Reference(reference_type, None)
    path = Path(value).expanduser()
    if not path.is_file():
        raise ReferenceMissing(
            f"override_{reference_type}: there is no file {path} (looked in {Path.cwd()}). "
            "Give the path of a reference file, or N/A to do without."
        )
    return Reference(reference_type, path.resolve())


@dataclass(frozen=True)
class FixedResolver:
    """References that a plan has selected before; jobs of a Snakemake project get these."""

    references: Mapping[str, Reference]

    def select(self, meta: Mapping[str, Any], types: Iterable[str]) -> dict[str, Reference]:
        """The planned references."""
        del meta
        wanted = list(types)
        if missing := [t for t in wanted if t not in self.references]:
            raise ReferenceMissing(
                f"the plan names no reference file of type {', '.join(missing)}: run stflow generate."
            )
        return {t: self.references[t] for t in wanted}

    def find(self, meta: Mapping[str, Any], types: Iterable[str]) -> dict[str, Reference]:
        """Nothing: the plan has taken parameters from them already."""
        del meta, types
        return {}

    def explain(self, meta: Mapping[str, Any], reference_type: str) -> Explanation:
        """The one file that the plan names."""
        del meta
        name = self.references[reference_type].recorded_name
        return Explanation("plan", {}, (Candidate(name, {}),))


# --- what a step sees ------------------------------------------------------------------------------


class References(Mapping[str, "CutReference"]):
    """Opened reference models by type, each cut to the exposure's subarray; opened when asked for."""

    def __init__(self, selected: Mapping[str, Reference], exposure: DataModel) -> None:
        self.selected = selected
        self._exposure = exposure
        self._opened: dict[str, CutReference] = {}

    def __getitem__(self, reference_type: str) -> CutReference:
        if reference_type not in self._opened:
            path = self.selected[reference_type].path
            if path is None:
                raise KeyError(reference_type)
            opened = _open_cut(path, self._exposure)
            if self.selected[reference_type].origin == "override":
                opened.must_be(reference_type, path)
            self._opened[reference_type] = opened
        return self._opened[reference_type]

    def __iter__(self) -> Iterator[str]:
        return (t for t, r in self.selected.items() if r.path is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def part(self, place: Rectangle) -> PartOfReferences:
        """The same references, for a rectangle of the exposure."""
        return PartOfReferences(self, place)

    def close(self) -> None:
        """Close every opened file."""
        for reference in self._opened.values():
            reference.close()


class PartOfReferences(Mapping[str, "CutReference"]):
    """References of which only a rectangle of the exposure is read."""

    def __init__(self, whole: References, place: Rectangle) -> None:
        self._whole = whole
        self._place = place
        self._parts: dict[str, CutReference] = {}

    def __getitem__(self, reference_type: str) -> CutReference:
        if reference_type not in self._parts:
            self._parts[reference_type] = self._whole[reference_type].part(self._place)
        return self._parts[reference_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


class CutReference:
    """A reference model whose images show only the exposure's subarray.

    Attributes are those of the model. Images are read from the file for the subarray alone; kernels
    and tables come whole.
    """

    def __init__(self, model: DataModel, cut: Cut) -> None:
        self._model = model
        self._cut = cut
        self._arrays: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        shape = self._model.shapes.get(name, ())
        if self._cut.whole or shape[-2:] != self._cut.area:
            return self._cut_default(getattr(self._model, name))
        if name not in self._arrays:
            self._arrays[name] = self._model.read(name, (..., self._cut.rows, self._cut.columns))
        return self._arrays[name]

    def _cut_default(self, value: Any) -> Any:
        """What is not in the file: an image of defaults, such as flags, is cut, too."""
        import numpy as np

        image = isinstance(value, np.ndarray) and value.shape[-2:] == self._cut.area
        if image and not self._cut.whole:
            return value[..., self._cut.rows, self._cut.columns]
        return value

    def part(self, place: Rectangle) -> CutReference:
        """The same reference cut to a rectangle of the exposure."""
        return CutReference(self._model, self._cut.part(place))

    def must_be(self, reference_type: str, path: Path) -> None:
        """Refuse what a user put in by mistake: an exposure, or a reference file of another type."""
        found = self._model.get("meta.reftype")
        kind = type(self._model).__name__
        if found is None and kind not in EXPOSURES:
            return
        if found is None or str(found).lower() != reference_type:
            stated = f"a reference file of type {str(found).lower()}"
            what = f"a {kind}" if found is None else stated
            raise ReferenceMissing(
                f"override_{reference_type}: {path} is {what}, allowed: a reference file of type "
                f"{reference_type}, or N/A."
            )

    def close(self) -> None:
        """Close the file behind it."""
        self._model.close()


@dataclass(frozen=True)
class Cut:
    """The part of a reference's `area` (rows, columns) that an exposure reads out."""

    area: tuple[int, int]
    rows: slice
    columns: slice

    def part(self, place: Rectangle) -> Cut:
        """The part of this cut that a rectangle of the exposure needs."""
        if self.area == (0, 0):
            return self
        y, x = self.rows.start, self.columns.start
        rows = slice(y + place.y0, y + place.y1)
        return Cut(self.area, rows, slice(x + place.x0, x + place.x1))

    @property
    def whole(self) -> bool:
        """Whether there is nothing to cut off."""
        return (self.rows, self.columns) == (slice(0, self.area[0]), slice(0, self.area[1]))


def _open_cut(path: Path, exposure: DataModel) -> CutReference:
    from stpipe import models

    try:
        model = models.open(path)
    except InputError as error:
        raise ReferenceMissing(f"reference file {error}") from None
    return CutReference(model, _cut(model, exposure, path))


def _cut(reference: DataModel, exposure: DataModel, path: Path) -> Cut:
    """Where the exposure lies in the reference (SUBSTRT, SUBSIZE of both)."""
    rows, columns = (exposure.shape or (0, 0))[-2:]
    area = _area(reference, (rows, columns))
    if area == (0, 0):
        return Cut(area, slice(0, 0), slice(0, 0))
    if (rows, columns) == INTERLEAVED and area == (columns, columns):
        rows = columns  # the reference is for the science pixels alone
    y0 = _start(exposure, "ystart", (rows, columns)) - _start(reference, "ystart", area)
    x0 = _start(exposure, "xstart", (rows, columns)) - _start(reference, "xstart", area)
    if min(y0, x0) < 0 or y0 + rows > area[0] or x0 + columns > area[1]:
        raise ReferenceMissing(
            f"reference file {path}: its {area[0]} x {area[1]} pixels do not hold the exposure's "
            f"{rows} x {columns} pixels at row {y0}, column {x0} of it. "
            "Give a reference file of this subarray or of the full frame."
        )
    return Cut(area, slice(y0, y0 + rows), slice(x0, x0 + columns))


def _area(reference: DataModel, frame: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the reference's images; (0, 0) when it has none.

    The arrays count, not SUBSIZE1/2, which some reference files have wrong. What is as small as a
    kernel is an image when it is as large as the `frame` of the exposure.
    """
    planes = {(shape[-2], shape[-1]) for shape in reference.shapes.values() if len(shape) > 1}
    images = [p for p in planes if min(p) > LARGEST_KERNEL or p == frame]
    return max(images, default=(0, 0))


def _start(model: DataModel, name: str, area: tuple[int, int]) -> int:
    """First row or column on the detector (1-based); 1 for full frames that do not say."""
    start = model.get(f"meta.subarray.{name}")
    if start is None and area in FULL_FRAMES:
        return 1
    if start is None or start < 1:
        keyword = {"xstart": "SUBSTRT1", "ystart": "SUBSTRT2"}[name]
        raise ReferenceMissing(
            f"{model.meta.filename}: {keyword} (meta.subarray.{name}) is {start}, allowed: 1 or more; "
            f"its {area[0]} x {area[1]} pixels have no place on the detector. Set the keyword."
        )
    return int(start)
