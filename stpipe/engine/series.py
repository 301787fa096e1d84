"""Arrays of a long exposure in which the samples of a pixel lie together.

Steps take some integrations of all pixels, or all integrations of some pixels. In the order of a FITS
file the latter are spread over the whole of it; here tiles of pixels follow each other in a scratch
file, each with all its integrations.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.engine.array_store import ArrayStore
from stpipe.errors import InputError
from stpipe.models.storage.arrays import MAPPED, PAGES, Array, Stored
from stpipe.models.storage.scratch import Scratch
from stpipe.models.storage.source import Source

if TYPE_CHECKING:
    from stpipe.models.protocols import Section

__all__ = ["LANES", "Series", "SeriesStore"]

LANES = 64  # pixels that kernels work at side by side
_CHUNK = 1 << 21  # bytes that are put in the order of the file at once
_NOWHERE = Source(Path("scratch file"), (0, 0, 0), 0)


class SeriesStore(ArrayStore):
    """Arrays of an exposure, filled in bands of whole rows of some integrations.

    Parameters
    ----------
    shape : (int, int, int, int)
        Integrations, groups, rows and columns of the exposure.
    tile_bytes : int
        What the samples of a tile of pixels may take, unless so few have more.
    """

    def __init__(self, shape: tuple[int, int, int, int], tile_bytes: int) -> None:
        super().__init__()
        fit = tile_bytes // (4 * shape[0] * shape[1])
        self._width = max(fit // LANES, 1) * LANES
        self._tables: dict[str, _Table] = {}

    def make(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """An array to be filled; images are in memory."""
        if len(shape) == 2:  # noqa: PLR2004 - an image
            super().make(name, shape, dtype)
        else:
            self._tables[name] = _Table(shape, dtype, self._width)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of an array; None when it is not made yet."""
        return self._tables[name].shape if name in self._tables else super().shape(name)

    def fill(self, name: str, section: tuple[Any, ...], part: Array) -> None:
        """Set a section (integrations, ..., rows, columns) of whole rows."""
        if name in self._tables:
            self._tables[name].fill(section, part)
        else:
            super().fill(name, section, part)

    def finished(self) -> dict[str, Array | Stored]:
        """The arrays as models hold them."""
        return super().finished() | {n: table.series() for n, table in self._tables.items()}


class _Table:
    """Samples (tiles, integrations, ..., pixels of a tile), in the machine's byte order."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], width: int) -> None:
        self.shape, self.width = shape, width
        self._unreturned = 0  # bytes
        pixels = shape[-2] * shape[-1]
        full = (-(-pixels // width), *shape[:-2], width)
        size = math.prod(full) * dtype.itemsize
        self._scratch = Scratch()
        try:
            # A full disk is told here; a write to mapped memory could not.
            os.posix_fallocate(self._scratch.handle, 0, size)
        except OSError as error:
            raise InputError(
                f"There is no room for {size / 1e6:.0f} MB of scratch files, which an exposure of "
                f"{shape[0]} integrations needs ({error.strerror}); set TMPDIR to a folder with room."
            ) from None
        self._mapped = mmap.mmap(self._scratch.handle, size)
        self.samples: Array = np.frombuffer(self._mapped, dtype).reshape(full)

    def series(self) -> Series:
        """The array for a model, which keeps the scratch file alive."""
        return Series(_NOWHERE, 0, self.samples.dtype, self.shape, None, self)

    def fill(self, section: tuple[Any, ...], part: Array) -> None:
        """Put rows of some integrations where they belong."""
        rows = section[-2]
        flat = part.reshape(*part.shape[:-2], -1)
        for tile, inside, outside in self._parts(rows.start, rows.stop):
            self.samples[tile, section[0], ..., inside] = flat[..., outside]
            self._touched(flat[..., outside].nbytes)

    def rows(self, integrations: slice, start: int, stop: int) -> Array:
        """Rows (integrations, ..., rows, columns) of some integrations."""
        columns = self.shape[-1]
        shape = (*self.samples[0, integrations].shape[:-1], stop - start, columns)
        values = np.empty(shape, self.samples.dtype)
        flat = values.reshape(*shape[:-2], -1)
        for tile, inside, outside in self._parts(start, stop):
            flat[..., outside] = self.samples[tile, integrations, ..., inside]
            self._touched(flat[..., outside].nbytes)
        return values

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """Tiles that rows lie in: number, pixels within the tile, pixels within the rows."""
        first, end = start * self.shape[-1], stop * self.shape[-1]
        for tile in range(first // self.width, -(-end // self.width)):
            a, b = max(first, tile * self.width), min(end, (tile + 1) * self.width)
            at = tile * self.width
            yield tile, slice(a - at, b - at), slice(a - first, b - first)

    def _touched(self, size: int) -> None:
        self._unreturned += max(size, PAGES)
        if self._unreturned > MAPPED:
            self.let_go()

    def let_go(self) -> None:
        """Give the pages of the file back: they count as our memory."""
        self._mapped.madvise(mmap.MADV_DONTNEED)
        self._unreturned = 0


@dataclass(frozen=True)
class Series(Stored):
    """An array (integrations, ..., rows, columns) in tiles of pixels."""

    table: _Table = None  # type: ignore[assignment] # fields of the base have no defaults

    def tiles(self) -> Iterator[tuple[slice, Array]]:
        """Pixels, numbered row by row, and their samples (integrations, ..., pixels).

        An array is valid until the next one; what is written into it is kept.
        """
        pixels = self.shape[-2] * self.shape[-1]
        for number, samples in enumerate(self.table.samples):
            start = number * self.table.width
            end = min(start + self.table.width, pixels)
            yield slice(start, end), samples[..., : end - start]
            self.table.let_go()

    def beside(self, planes: int, dtype: np.dtype[Any]) -> Series:
        """An array (planes, rows, columns) in the same tiles, of zeros, to be filled by tiles."""
        return _Table((planes, *self.shape[-2:]), dtype, self.table.width).series()

    def read(self, dtype: np.dtype[Any] | None = None) -> Array:
        """The whole array."""
        return self.section(..., dtype)

    def section(self, key: Section, dtype: np.dtype[Any] | None = None) -> Array:
        """A part of the array."""
        first, *middle, rows, columns = _full_key(key, len(self.shape))
        span, lines = _as_slice(first), _as_slice(rows)
        start, stop, _ = lines.indices(self.shape[-2])
        values = self.table.rows(span, start, stop)
        inner = 0 if isinstance(first, int) else slice(None)
        part: Array = values[(inner, *middle, 0 if isinstance(rows, int) else slice(None), columns)]
        return np.ascontiguousarray(part, dtype)

    def pieces(self) -> Iterator[memoryview]:
        """The bytes of the array in the order of its axes, native."""
        step = max(_CHUNK // (math.prod(self.shape[1:]) * self.raw.itemsize), 1)
        for first in range(0, self.shape[0], step):
            block = self.table.rows(slice(first, first + step), 0, self.shape[-2])
            yield block.data.cast("B")


def _full_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """An index with an entry for each axis."""
    entries = key if isinstance(key, tuple) else (key,)
    gap = entries.index(...) if any(entry is ... for entry in entries) else len(entries)
    before, after = entries[:gap], entries[gap + 1 :]
    return (*before, *[slice(None)] * (ndim - len(before) - len(after)), *after)


def _as_slice(entry: Any) -> slice:
    return slice(entry, entry + 1 or None) if isinstance(entry, int) else entry
