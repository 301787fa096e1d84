"""Write a file atomically: whole or not at all."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stpipe.errors import StpipeError

__all__ = ["replacing"]


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become ``target`` at the end, or never.

    They go to a hidden name beside the target, which is renamed. When anything fails, the hidden
    file is removed and the target stays as it was. What a killed process left behind is used again;
    two processes that write the same target at the same time use two names.

    Before a file is replaced, the new one has reached the disk, so that not even a power cut loses
    what was there. A new name does not wait for the disk: after a power cut the file may be too
    short, which is noticed when it is opened, and nothing but the moment's work is lost.

    Raises
    ------
    StpipeError
        When the folder is missing or cannot be written to, or the disk is full.
    """
    try:
        temporary, stream = _hidden(target)
        with stream:
            try:
                yield stream
                stream.flush()
                if target.exists():
                    os.fsync(stream.fileno())
                # While it is locked, so that no process takes it for an abandoned file.
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StpipeError(
            f"{target} cannot be written: {error.strerror or error}; "
            "check the folder, its permissions and the space on the disk."
        ) from error


def _hidden(target: Path) -> tuple[Path, BinaryIO]:
    """An empty file beside the target that no other process writes, open and locked."""
    for number in itertools.count():
        path = target.with_name(f".{target.name}.{number}")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            if path.exists():  # another process's
                continue
            raise
        stream = os.fdopen(handle, "wb")
        try:
            if _locked(stream) and _is(stream, path):
                if os.fstat(handle).st_size:
                    # Only then: once truncated, ext4 goes to the disk when the file is closed.
                    stream.truncate(0)
                return path, stream
        except OSError:  # a file system without locks
            stream.close()
            break
        stream.close()
    path = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    return path, path.open("xb")


def _locked(stream: BinaryIO) -> bool:
    """Take the file unless a living process has it; the lock ends with the process."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(stream: BinaryIO, path: Path) -> bool:
    """Whether the file still has this name: its writer may have renamed it before it was locked."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
