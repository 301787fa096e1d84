"""Arrays that have to be made out of a file's bytes, such as compressed images: on the first touch.

What is made goes to one scratch file for all arrays of a file, each at its place, so that it is read
like any other file: in sections, in bounded memory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from stpipe.errors import InputError
from stpipe.models.storage.scratch import Scratch
from stpipe.models.storage.source import Source

__all__ = ["Late", "Shelf"]

_PAGE = 4096


class Shelf:
    """Room for what the arrays of a file become."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch: Scratch | None = None
        self._end = 0
        self._made: set[int] = set()
        self._lock = threading.Lock()

    def late(self, size: int, pieces: Callable[[], Iterable[Any]]) -> Late:
        """A source with `size` bytes at its place, which `pieces` makes when they are asked for."""
        place = self._end
        self._end += size + -size % _PAGE
        return Late(self._path, (0, 0, 0), place + size, shelf=self, at=place, pieces=pieces)

    def filled(self, late: Late) -> Path:
        """The scratch file, the bytes of `late` in it."""
        with self._lock:
            scratch = self._scratch = self._scratch or Scratch()
            if late.at not in self._made:
                self._write(scratch.handle, late)
                self._made.add(late.at)
        return Path(f"/dev/fd/{scratch.handle}")

    def _write(self, handle: int, late: Late) -> None:
        at = late.at
        for piece in late.pieces():
            left = memoryview(piece).cast("B")
            while left:
                try:
                    done = os.pwrite(handle, left, at)
                except OSError as error:
                    raise InputError(
                        f"{late.path} cannot be unpacked: {error.strerror}; large files need room in "
                        "TMPDIR."
                    ) from None
                left, at = left[done:], at + done
        if at != late.size:
            raise InputError(
                f"{late.path} is damaged: an array of it should have {late.size - late.at} bytes and "
                f"has {at - late.at}; download or rebuild it."
            )


@dataclass(frozen=True)
class Late(Source):
    """Bytes that are made on the first touch; they begin `at` a byte of the scratch file."""

    shelf: Shelf = field(default=None, repr=False, compare=False)  # type: ignore[assignment] # the base has defaults
    at: int = 0
    pieces: Callable[[], Iterable[Any]] = field(default=tuple, repr=False, compare=False)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes, as a stream of the scratch file.

        Raises
        ------
        InputError
            When they cannot be made, as the file is damaged or the disk is full.
        """
        with self.shelf.filled(self).open("rb") as stream:
            yield stream
