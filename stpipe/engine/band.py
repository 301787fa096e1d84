"""Band: a rectangle of a ramp, with all its integrations and groups, on its way through steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stpipe.engine.rectangle import Rectangle
from stpipe.models import dqflags

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = [
    "IMAGES",
    "PLANES",
    "Band",
]

Array = npt.NDArray[Any]
STRIP_BYTES = 16_000_000  # of samples and their flags
IMAGES = ("pixeldq", "average_dark_current")  # that all integrations share
PLANES = ("data", "groupdq", "zeroframe", *IMAGES)


@dataclass
class Band:
    """Arrays of a rectangle of a ramp, as steps see and reassign them.

    A long exposure goes through its steps some integrations at a time.

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
    first
        Number, from 0, of the first integration at hand.
    known
        What the step's `prepare` returned.
    totals
        Counts that the step makes; over all bands they go to its `finish`.
    counted
        Pixels of `own` to count, once in the exposure, for the same.
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
    first: int = 0
    known: Any = None
    totals: Counter[str] = field(default_factory=Counter)
    counted: dict[str, Array] = field(default_factory=dict)

    def count(self, name: str, mask: Array) -> None:
        """Count samples of `mask` (integrations, ..., rows, columns), or pixels (rows, columns).

        Pixels count once, in however many integrations they are found.
        """
        own = mask[self.own.within(self.place)]
        if mask.ndim == self.pixeldq.ndim:
            self.counted[name] = own
        else:
            self.totals[name] += int(np.count_nonzero(own))

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

    data = ramp.read("data", place.section)
    groupdq = stored("groupdq", place.section)
    pixeldq = stored("pixeldq", place.section)
    zeroframe = stored("zeroframe", place.section)
    data, groupdq = finite(data, np.zeros(data.shape, np.uint8) if groupdq is None else groupdq)
    return Band(
        data=data,
        groupdq=groupdq,
        pixeldq=np.zeros(place.shape, np.uint32) if pixeldq is None else pixeldq,
        meta=ramp.meta,
        place=place,
        own=place,
        frame=frame,
        zeroframe=None if zeroframe is None else finite(zeroframe)[0],
        average_dark_current=stored("average_dark_current", place.section),
    )


def finite(data: Array, groupdq: Array | None = None) -> tuple[Array, Any]:
    """Samples without NaN and infinity: they become 0 and DO_NOT_USE, and no step counts with them."""
    # Any of them shows in the sum, which is quick; a sum too large is looked at, too.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum()):
            return data, groupdq
    lost = ~np.isfinite(data)
    if groupdq is not None:
        groupdq = groupdq | np.where(lost, np.uint8(dqflags.DO_NOT_USE), np.uint8(0))
    return np.where(lost, data.dtype.type(0), data), groupdq


def joined(bands: Sequence[Band]) -> Band:
    """A band of all integrations, from bands of some in the same place."""
    if len(bands) == 1:
        return bands[0]
    cubes: dict[str, Any] = {
        name: np.concatenate([getattr(band, name) for band in bands])
        for name in PLANES
        if name not in IMAGES and getattr(bands[0], name) is not None
    }
    pixeldq = np.bitwise_or.reduce([band.pixeldq for band in bands])
    return replace(bands[0], pixeldq=pixeldq, **cubes)


class Strips:
    """Bands of a stored ramp, of which many lie side by side: rows are read once for all of them.

    A file holds whole rows. A narrow band would read pages of which it needs a small part.
    """

    def __init__(self, ramp: DataModel, frame: tuple[int, int]) -> None:
        self._ramp = ramp
        self._frame = frame
        self._strip: Band | None = None
        self._lock = Lock()

    def read(self, place: Rectangle) -> Band:
        """A band, as `read` gives it."""
        if 2 * place.shape[1] > self._frame[1]:
            return read(self._ramp, place, self._frame)
        with self._lock:
            if self._strip is None or not self._strip.place.holds(place):
                self._strip = None  # its memory is needed for the next one
                self._strip = read(self._ramp, self._reach(place), self._frame)
            band = replace(self._strip, own=place)
        band.crop(place)
        return band

    def _reach(self, place: Rectangle) -> Rectangle:
        """As many columns as may be in memory, from the first one of a place on."""
        samples = int(np.prod((self._ramp.shape or ())[:-1], dtype=np.int64))
        columns = STRIP_BYTES * self._frame[0] // (5 * samples * place.shape[0])
        end = max(place.x0 + columns, place.x1)
        return replace(place, x1=min(end, self._frame[1]))
