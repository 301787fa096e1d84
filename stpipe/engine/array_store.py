"""Arrays that are made piece by piece: in memory while small, in a scratch file when not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from stpipe.engine.band import Array
from stpipe.models.storage.arrays import Stored, read_only
from stpipe.models.storage.scratch import Scratch

__all__ = ["CUBE_IN_MEMORY_BYTES", "IN_MEMORY_BYTES", "ArrayStore", "FinishedArray"]

FinishedArray: TypeAlias = Array | Stored  # as models hold it: in memory, or in a scratch file

# An array above this goes to a scratch file (TMPDIR): a full-frame float32 image stays in memory, a
# cube of one does not, so that one integration takes no more memory than many.
IN_MEMORY_BYTES = 20_000_000
CUBE_IN_MEMORY_BYTES = 4_000_000


@dataclass
class ArrayStore:
    """Arrays of one product, filled in any order of pieces."""

    arrays: dict[str, Array | _Scratch] = field(default_factory=dict)

    def make(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """An array of zeros, to be filled."""
        most = IN_MEMORY_BYTES if len(shape) == 2 else CUBE_IN_MEMORY_BYTES  # noqa: PLR2004 - an image
        large = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > most
        self.arrays[name] = _Scratch(shape, dtype) if large else np.zeros(shape, dtype)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of an array; None when it is not made yet."""
        return self.arrays[name].shape if name in self.arrays else None

    def fill(self, name: str, section: tuple[Any, ...], part: Array) -> None:
        """Set a section (..., rows, columns) of an array."""
        array = self.arrays[name]
        if isinstance(array, _Scratch):
            array.fill(section, part)
        else:
            array[section] = part

    def part(self, name: str, section: tuple[Any, ...]) -> Array:
        """What a section of an array was filled with."""
        array = self.arrays[name]
        return array.stored().section(section) if isinstance(array, _Scratch) else array[section]

    def finished(self) -> dict[str, FinishedArray]:
        """The arrays as models hold them."""
        return {
            name: array.stored() if isinstance(array, _Scratch) else read_only(array)
            for name, array in self.arrays.items()
        }


class _Scratch:
    """An array in a scratch file, big-endian as FITS wants it; gone with the last that reads it."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._raw = dtype.newbyteorder(">")
        self._scratch = Scratch()
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        os.truncate(self._scratch.handle, size)

    def fill(self, section: tuple[Any, ...], part: Array) -> None:
        """Write rows of planes where they belong: one write for each row, or plane of whole rows.

        Whole planes follow each other in the file.
        """
        rows, columns = section[-2:]
        planes = part.reshape(-1, *part.shape[-2:]).astype(self._raw, copy=False)
        height, width = self.shape[-2:]
        whole = part.shape[-1] == width
        numbers = np.arange(int(np.prod(self.shape[:-2], dtype=np.int64))).reshape(self.shape[:-2])
        if part.shape[-2:] == (height, width):
            self._write(int(numbers[section[:-2]].flat[0]) * height * width, planes)
            return
        for number, plane in zip(numbers[section[:-2]].ravel(), planes, strict=True):
            start = (int(number) * height + rows.start) * width + columns.start
            if whole:
                self._write(start, plane)
            else:
                for y, row in enumerate(plane):
                    self._write(start + y * width, row)

    def _write(self, start: int, block: Array) -> None:
        os.pwrite(
            self._scratch.handle, np.ascontiguousarray(block).data, start * self.dtype.itemsize
        )

    def stored(self) -> Stored:
        """The array for a model, which keeps the scratch file alive."""
        source = self._scratch.source(Path("scratch file"))
        return Stored(source, 0, self._raw, self.shape)
