"""Band: a rectangle of a ramp, with all its integrations and groups, on its way through steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = ["PLANES", "Band", "Rectangle"]

Array = npt.NDArray[Any]
PLANES = ("data", "groupdq", "pixeldq", "zeroframe", "average_dark_current")


@dataclass(frozen=True)
class Rectangle:
    """Rows and columns of an exposure, from `y0` and `x0` up to but without `y1` and `x1`."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def section(self) -> tuple[Any, ...]:
        """Index of an array (..., rows, columns)."""
        return (..., slice(self.y0, self.y1), slice(self.x0, self.x1))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    def grown(self, margin: int, frame: tuple[int, int]) -> Rectangle:
        """With a margin on all sides, as far as the frame reaches."""
        return Rectangle(
            max(self.y0 - margin, 0),
            min(self.y1 + margin, frame[0]),
            max(self.x0 - margin, 0),
            min(self.x1 + margin, frame[1]),
        )

    def within(self, outer: Rectangle) -> tuple[Any, ...]:
        """Index of this rectangle in an array that holds `outer`."""
        rows = slice(self.y0 - outer.y0, self.y1 - outer.y0)
        return (..., rows, slice(self.x0 - outer.x0, self.x1 - outer.x0))


@dataclass
class Band:
    """Arrays of a rectangle of a ramp, as steps see and reassign them.

    Attributes
    ----------
    data, groupdq
        (integrations, groups, rows, columns), float32 in DN and uint8.
    pixeldq
        (rows, columns), uint32.
    zeroframe, average_dark_current
        (integrations, rows, columns) and (rows, columns); None where the exposure has none.
    meta
        Metadata of the exposure, for reading.
    place, own
        The rectangle of the exposure that the arrays hold, and the part of it that this band is
        for; the rest is halo.
    frame
        Rows and columns of the whole exposure.
    known
        What the step's `survey` returned.
    totals
        Counts that the step makes; over all bands they go to its `conclude`.
    """

    data: Array
    groupdq: Array
    pixeldq: Array
    meta: Any
    place: Rectangle
    own: Rectangle
    frame: tuple[int, int]
    zeroframe: Array | None = None
    average_dark_current: Array | None = None
    known: Any = None
    totals: Counter[str] = field(default_factory=Counter)

    def count(self, name: str, mask: Array) -> None:
        """Add the number of set samples of `mask` (..., rows, columns) in this band's own part."""
        self.totals[name] += int(np.count_nonzero(mask[self.own.within(self.place)]))

    def crop(self, place: Rectangle) -> None:
        """Drop what lies outside `place`: halo that no later step needs."""
        if place == self.place:
            return
        inside = place.within(self.place)
        for name in PLANES:
            array = getattr(self, name)
            if array is not None:
                setattr(self, name, array[inside])
        self.place = place


def read(ramp: DataModel, place: Rectangle, frame: tuple[int, int]) -> Band:
    """A band of a stored ramp: only its bytes are read; flags that are not stored are 0."""

    def stored(name: str, section: tuple[Any, ...]) -> Array | None:
        return ramp.read(name, section) if ramp.has(name) else None

    def by_integration(name: str) -> Array:
        # Pages of a mapped file count as our memory while they are mapped: map few at a time.
        parts = [ramp.read(name, (i, *place.section)) for i in range((ramp.shape or ())[0])]
        return np.stack(parts) if len(parts) > 1 else parts[0][None]

    data = by_integration("data")
    groupdq = by_integration("groupdq") if ramp.has("groupdq") else None
    pixeldq = stored("pixeldq", place.section)
    return Band(
        data=data,
        groupdq=np.zeros(data.shape, np.uint8) if groupdq is None else groupdq,
        pixeldq=np.zeros(place.shape, np.uint32) if pixeldq is None else pixeldq,
        meta=ramp.meta,
        place=place,
        own=place,
        frame=frame,
        zeroframe=stored("zeroframe", place.section),
        average_dark_current=stored("average_dark_current", place.section),
    )
