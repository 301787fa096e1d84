"""Files without a name, for data that do not fit into memory; they end with their process."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stpipe.models.storage.source import Source

if TYPE_CHECKING:
    from stpipe.models.storage.arrays import Array, Stored

__all__ = ["Scratch", "Unnamed"]


class Scratch:
    """An empty file in TMPDIR, to be written by its `handle`; closed when it is no longer used."""

    def __init__(self) -> None:
        self.handle, name = tempfile.mkstemp(prefix="stpipe-")
        Path(name).unlink()
        self._keeper = weakref.finalize(self, os.close, self.handle)

    def stored(self, array: Array) -> Stored:
        """Write an array at the end of the file; it is read from there when it is used."""
        from stpipe.models.storage.arrays import Stored

        start = os.lseek(self.handle, 0, os.SEEK_END)
        with open(self.handle, "wb", closefd=False) as stream:
            stream.write(np.ascontiguousarray(array).data)
        return Stored(self.source(Path("scratch file")), start, array.dtype, array.shape)

    def source(self, path: Path) -> Unnamed:
        """The file for reading; messages call it `path`."""
        size = os.fstat(self.handle).st_size
        return Unnamed(path, (0, 0, 0), size, scratch=self)


@dataclass(frozen=True)
class Unnamed(Source):
    """What is in a scratch file, which it keeps."""

    scratch: Scratch = None  # type: ignore[assignment] # fields of the base have defaults

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes of the file, as a stream."""
        with Path(f"/dev/fd/{self.scratch.handle}").open("rb") as stream:
            yield stream
