"""Write a file so that nobody ever sees half of it, and nobody can redirect it.

New content goes to a file without a name, or, where the file system knows no such files, to one of a
random name that did not exist. It gets its own name when it is complete. So there is nothing to
guess, no link is followed, and a killed process leaves nothing behind.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stpipe.errors import StpipeError

__all__ = ["replacing", "write_text"]

_NAMELESS = getattr(os, "O_TMPFILE", 0) and Path("/proc/self/fd").is_dir()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become ``target`` at the end, or never.

    When anything fails, the target stays as it was. Two processes may write the same target at the same
    time: the last one to end is seen.

    Before a file is replaced, the new one has reached the disk, so that not even a power cut loses
    what was there. A new name does not wait for the disk: after a power cut the file may be too
    short, which is noticed when it is opened, and nothing but the moment's work is lost.

    Raises
    ------
    StpipeError
        When the folder is missing or cannot be written to, or the disk is full.
    """
    with _replacing(target, safely=True) as stream:
        yield stream


def write_text(target: Path, text: str) -> None:
    """Write text into a file, whole or not at all; for what can be made again after a power cut.

    Raises
    ------
    StpipeError
        As `replacing`.
    """
    with _replacing(target, safely=False) as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def _replacing(target: Path, *, safely: bool) -> Iterator[BinaryIO]:
    try:
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            stream, hidden = _created(folder)
            try:
                with stream:
                    yield stream
                    stream.flush()
                    if safely and target.exists():
                        os.fsync(stream.fileno())
                    hidden = hidden or _named(folder, stream)
                    os.replace(hidden, target.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                if hidden:
                    os.unlink(hidden, dir_fd=folder)
                raise
        finally:
            os.close(folder)
    except OSError as error:
        raise StpipeError(
            f"{target} cannot be written: {error.strerror or error}; "
            "check the folder, its permissions and the space on the disk."
        ) from error


def _created(folder: int) -> tuple[BinaryIO, str]:
    """An empty file in a folder, and its name, which is empty where it needs none yet."""
    if _NAMELESS:
        try:
            handle = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666, dir_fd=folder)
            return os.fdopen(handle, "wb"), ""
        except OSError:  # of file systems that know no such files; others say it once more below
            pass
    name = _name()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb"), name


def _named(folder: int, stream: BinaryIO) -> str:
    """Give a file without a name one that it can be renamed from: a link replaces nothing."""
    name = _name()
    # With a folder given, Python follows the link in /proc to the file itself.
    own = f"/proc/self/fd/{stream.fileno()}"
    os.link(own, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    return name


def _name() -> str:
    """Not after the target, whose name may be as long as names can be."""
    return f".stpipe-{secrets.token_hex(8)}"
