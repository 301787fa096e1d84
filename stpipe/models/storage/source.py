"""The file that arrays are in."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from stpipe.errors import InputError

__all__ = ["Source", "identity_of"]


@dataclass(frozen=True)
class Source:
    """A file as it was when it was opened; the bytes may also be in memory, unpacked from it."""

    path: Path
    identity: tuple[int, int, int]
    size: int
    unpacked: bytes | None = field(default=None, repr=False)
    place: Path | None = field(default=None, repr=False, compare=False)
    """Where the file is, whatever folder the process goes to."""
    owner: object = field(default=None, repr=False, compare=False)
    """What keeps a temporary file there, such as the folder of a library's replaced members."""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes of the file, as a stream.

        Raises
        ------
        InputError
            When the file is gone or no longer the one that was described.
        """
        if self.unpacked is not None:
            yield io.BytesIO(self.unpacked)
            return
        try:
            stream = (self.place or self.path).open("rb")
        except OSError as error:
            raise InputError(f"{self.path} can no longer be read: {error.strerror}.") from None
        with stream:
            if identity_of(os.fstat(stream.fileno())) != self.identity:
                raise InputError(f"{self.path} has changed since it was opened; open it again.")
            yield stream


def identity_of(status: os.stat_result) -> tuple[int, int, int]:
    """Numbers that identify a file and its state."""
    return (status.st_ino, status.st_size, status.st_mtime_ns)
