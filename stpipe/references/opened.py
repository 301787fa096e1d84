"""Reference files as a step sees them: opened on first use, cut to the exposure's subarray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.engine.rectangle import Rectangle
from stpipe.errors import InputError, ReferenceMissing
from stpipe.references.selection import FIXED_SLIT, Reference

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = [
    "EXPOSURES",
    "FULL_FRAMES",
    "INTERLEAVED",
    "LARGEST_KERNEL",
    "Cut",
    "CutReference",
    "PartOfReferences",
    "References",
    "metadata_of",
]


EXPOSURES = ("Level1bModel", "RampModel", "GuiderRawModel")  # read like references, but none


INTERLEAVED = (3200, 2048)  # rows and columns of NIRSpec's IRS2 readout


FULL_FRAMES = ((2048, 2048), (1024, 1032), INTERLEAVED)  # NIR detectors; MIRI (rows, columns)


LARGEST_KERNEL = 15  # pixels; anything larger on both axes is an image of the detector


def metadata_of(path: Path) -> Any:
    """Metadata of a reference file, read once for each state of the file in a process."""
    state = path.stat()
    return _metadata(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _metadata(path: Path, size: int, mtime: int) -> Any:
    from stpipe import models

    del size, mtime  # part of the cache's key only
    return models.open_metadata(path)


class References(Mapping[str, "CutReference"]):
    """Reference models by type, opened on first use and cut to the exposure's subarray."""

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
        """An array that is not in the file: an image of defaults, such as flags, is cut, too."""
        import numpy as np

        image = isinstance(value, np.ndarray) and value.shape[-2:] == self._cut.area
        if image and not self._cut.whole:
            return value[..., self._cut.rows, self._cut.columns]
        return value

    def part(self, place: Rectangle) -> CutReference:
        """The same reference cut to a rectangle of the exposure."""
        return CutReference(self._model, self._cut.part(place))

    def on_detector(self, place: Rectangle) -> CutReference:
        """The same reference cut to a rectangle of the detector, such as that of a slit.

        Raises
        ------
        ReferenceMissing
            When its images do not hold all of the rectangle.
        """
        area = _area(self._model, place.shape)
        if area == (0, 0):
            return self
        name = str(self._model.meta.filename)
        return CutReference(self._model, _within(self._model, area, place, name))

    def must_be(self, reference_type: str, path: Path) -> None:
        """Refuse an override that is an exposure, or a reference file of another type."""
        wanted = reference_type.removeprefix(FIXED_SLIT)
        found = self._model.get("meta.reftype")
        kind = type(self._model).__name__
        if found is None and kind not in EXPOSURES:
            return
        if found is None or str(found).lower() != wanted:
            stated = f"a reference file of type {str(found).lower()}"
            what = f"a {kind}" if found is None else stated
            raise ReferenceMissing(
                f"override_{reference_type}: {path} is {what}, allowed: a reference file of type "
                f"{wanted}, or N/A."
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
    if exposure.shape is None:  # slits, each of which has a place of its own
        return Cut((0, 0), slice(0, 0), slice(0, 0))
    rows, columns = exposure.shape[-2:]
    area = _area(reference, (rows, columns))
    if area == (0, 0):
        return Cut(area, slice(0, 0), slice(0, 0))
    if (rows, columns) == INTERLEAVED and area == (columns, columns):
        rows = columns  # the reference is for the science pixels alone
    y0, x0 = (_start(exposure, name, (rows, columns)) - 1 for name in ("ystart", "xstart"))
    return _within(reference, area, Rectangle(y0, y0 + rows, x0, x0 + columns), path)


def _within(reference: DataModel, area: tuple[int, int], place: Rectangle, path: Path | str) -> Cut:
    """Where a rectangle of the detector, from 0, lies in the reference."""
    y0, x0 = (_start(reference, name, area) - 1 for name in ("ystart", "xstart"))
    rows, columns = (slice(place.y0 - y0, place.y1 - y0), slice(place.x0 - x0, place.x1 - x0))
    if min(rows.start, columns.start) < 0 or rows.stop > area[0] or columns.stop > area[1]:
        height, width = place.shape
        raise ReferenceMissing(
            f"reference file {path}: its {area[0]} x {area[1]} pixels do not hold the exposure's "
            f"{height} x {width} pixels at row {rows.start}, column {columns.start} of it. "
            "Give a reference file of this subarray or of the full frame."
        )
    return Cut(area, rows, columns)


def _area(reference: DataModel, frame: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the reference's images; (0, 0) when it has none.

    The arrays count, not SUBSIZE1/2, which some reference files have wrong. What is as small as a
    kernel is an image when it is as large as the `frame` of the exposure.
    """
    planes = {(shape[-2], shape[-1]) for shape in reference.shapes.values() if len(shape) > 1}
    images = [p for p in planes if min(p) > LARGEST_KERNEL or p == frame]
    return max(images, default=(0, 0))


def _start(model: DataModel, name: str, area: tuple[int, int]) -> int:
    """First row or column on the detector (1-based); 1 for full frames without the keyword."""
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
