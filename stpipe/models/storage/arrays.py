"""Arrays that stay in their file until they are used.

No file handle stays open: every access opens the file, checks that it is still the one that was
described, reads and closes it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from stpipe.errors import InputError
from stpipe.models.storage.read_ahead import shares, together
from stpipe.models.storage.source import Source

if TYPE_CHECKING:
    from stpipe.models.protocols import Section

__all__ = [
    "MAPPED",
    "PAGES",
    "Array",
    "Decoder",
    "Scaling",
    "Stored",
    "blocks_of",
    "read_only",
]

Array = npt.NDArray[Any]

_CHUNK = 1 << 21  # fits into a cache; threads that take turns wait for each other with less
MAPPED = 1 << 23  # bytes of a file that count as our memory while a section of it is read
PAGES = 1 << 22  # bytes that the kernel may map around what is touched


class Decoder(Protocol):
    """How the bytes of an array become values."""

    def decoded(self, raw: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype of the values of an array that is stored as ``raw``."""

    def decode(self, block: Array, values: Array) -> None:
        """Put the values of a stored block into an array of the dtype that it has decoded."""


@dataclass(frozen=True)
class Scaling:
    """How stored integers become values: ``zero + scale * stored``, ``blank`` is not a number."""

    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None

    def decoded(self, raw: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype that values stored as ``raw`` have; offsets of half the range mean unsigned."""
        offset = raw.kind in "iu" and self.scale == 1
        if offset and raw.kind == "i" and self.zero == float(1 << (8 * raw.itemsize - 1)):
            return np.dtype(f"u{raw.itemsize}")
        if offset and raw == np.uint8 and self.zero == -128:  # noqa: PLR2004 - FITS standard 5.2.5
            return np.dtype("i1")
        if raw.kind == "c":
            return np.dtype(f"c{raw.itemsize}")
        return np.dtype("f4" if raw.itemsize <= 2 else "f8")  # noqa: PLR2004 - 16 bits fit in f4

    def decode(self, block: Array, values: Array) -> None:
        """Put the values of a stored block into ``values``."""
        if values.dtype.kind in "iu":
            sign = np.array(1 << (8 * values.itemsize - 1), dtype=f"u{values.itemsize}")
            bits = block.view(f"{block.dtype.byteorder}u{values.itemsize}")
            np.bitwise_xor(bits, sign, out=values.view(sign.dtype))
            return
        values[...] = block
        values *= values.dtype.type(self.scale)
        values += values.dtype.type(self.zero)
        if self.blank is not None:
            values[block == self.blank] = np.nan


@dataclass(frozen=True)
class Stored:
    """An array in a file: where it starts and how its bytes become values."""

    source: Source
    offset: int
    raw: np.dtype[Any]
    shape: tuple[int, ...]
    decoder: Decoder | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The native dtype of the values."""
        if self.decoder is not None:
            return self.decoder.decoded(self.raw)
        native: np.dtype[Any] = self.raw.newbyteorder("=")
        return native

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.raw.itemsize

    def read(self, dtype: np.dtype[Any] | None = None) -> Array:
        """The whole array, native, cast to ``dtype``."""
        values = np.empty(self.shape, dtype or self.dtype)
        flat = values.reshape(-1)
        edges = np.linspace(0, flat.size, shares(self.nbytes) + 1).astype(int)
        together([partial(self._fill, flat[a:b], int(a)) for a, b in pairwise(edges)])
        return values

    def _fill(self, flat: Array, first: int) -> None:
        """Read a stretch of the array that begins with item ``first``."""
        start = self.offset + first * self.raw.itemsize
        done = 0
        for piece in replace(self, offset=start, shape=flat.shape).pieces():
            block = np.frombuffer(piece, self.raw)
            self._put(block, flat[done : done + len(block)])
            done += len(block)

    def section(self, key: Section, dtype: np.dtype[Any] | None = None) -> Array:
        """The values at ``key``, cast to ``dtype``; only those bytes are read."""
        wanted = dtype or self.dtype
        if self.source.unpacked is not None or not self.nbytes:
            whole = np.frombuffer(self.source.unpacked or b"", np.uint8)
            return self._copied(self._at(whole, self.offset, key), wanted)
        mapped, first = self._mapped()
        block = self._at(np.frombuffer(mapped, np.uint8), first, key)
        return self._copied(block, wanted, mapped)

    def pieces(self) -> Iterator[memoryview]:
        """The stored bytes, a piece at a time; a piece is valid until the next one."""
        if self.source.unpacked is not None:
            whole = memoryview(self.source.unpacked)[self.offset : self.offset + self.nbytes]
            self._check(len(whole) == self.nbytes)
            yield whole
            return
        if not self.nbytes:
            return
        mapped, first = self._mapped()
        step = max(_CHUNK // self.raw.itemsize, 1) * self.raw.itemsize
        for start in range(first, first + self.nbytes, step):
            yield memoryview(mapped)[start : min(start + step, first + self.nbytes)]
            if (start - first) // MAPPED != (start - first + step) // MAPPED:
                mapped.madvise(mmap.MADV_DONTNEED)

    def _mapped(self) -> tuple[mmap.mmap, int]:
        """The part of the file that has the array, and where the array starts in it."""
        # A mapping must start on a page. It lasts, with its file handle, while it is referenced.
        start = self.offset - self.offset % mmap.ALLOCATIONGRANULARITY
        length = self.offset - start + self.nbytes
        with self.source.open() as stream:
            self._check(os.fstat(stream.fileno()).st_size >= start + length)
            mapped = mmap.mmap(stream.fileno(), length, access=mmap.ACCESS_READ, offset=start)
        return mapped, self.offset - start

    def _check(self, complete: bool) -> None:
        if not complete:
            raise InputError(f"{self.source.path} ends within an array; download it again.")

    def _at(self, whole: Array, first: int, key: Any) -> Array:
        """The stored items at ``key``: a view of the bytes of a file."""
        stored = whole[first : first + self.nbytes].view(self.raw).reshape(self.shape)
        block: Array = stored[key]
        return block

    def _copied(self, block: Array, dtype: np.dtype[Any], mapped: mmap.mmap | None = None) -> Array:
        """The values of a block, plane by plane; pages of a mapped file are given back on the way."""
        values = np.empty(block.shape, dtype)
        touched = 0
        for plane in np.ndindex(block.shape[:-2]):
            self._put(block[plane], values[(*plane, ...)])
            span = abs(block.strides[-2]) * block.shape[-2] if block.ndim > 1 else 0
            touched += max(span, PAGES)
            if mapped and touched > MAPPED:
                mapped.madvise(mmap.MADV_DONTNEED)
                touched = 0
        return values

    def _check_range(self, block: Array, dtype: np.dtype[Any]) -> None:
        """Refuse integers that a narrower type would turn into others."""
        limits, found = np.iinfo(dtype), self.decode(block)
        if found.size and (found.min() < limits.min or found.max() > limits.max):
            raise InputError(
                f"{self.source.path} has integers from {found.min()} to {found.max()} where {dtype} is "
                f"allowed, {limits.min} to {limits.max}."
            )

    def decode(self, block: Array) -> Array:
        """The values of a block of stored items."""
        if self.decoder is None:
            return block
        values = np.empty(block.shape, self.dtype)
        self.decoder.decode(block, values)
        return values

    def _put(self, block: Array, values: Array) -> None:
        """Put the values of a block of stored items into ``values``, cast to their dtype."""
        if values.dtype.kind in "iu" and values.dtype.itemsize < self.dtype.itemsize:
            self._check_range(block, values.dtype)
        if self.decoder is not None and values.dtype == self.dtype:
            self.decoder.decode(block, values)
        else:
            values[...] = self.decode(block)


def blocks_of(array: Array | Stored) -> Iterator[Array]:
    """The values of an array in flat blocks that stay in cache."""
    if isinstance(array, Stored):
        for piece in array.pieces():
            yield array.decode(np.frombuffer(piece, array.raw))
        return
    flat = array.reshape(-1)
    step = max(_CHUNK // max(array.itemsize, 1), 1)
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def read_only(array: Array) -> Array:
    """A view of ``array`` that refuses to be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
