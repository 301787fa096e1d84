"""Write a file so that nobody ever sees half of it."""

from __future__ import annotations

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

    They go to a hidden temporary name beside the target, which is renamed. When anything fails, the
    temporary file is removed and the target stays as it was.

    Before a file is replaced, the new one has reached the disk, so that not even a power cut loses
    what was there. A new name does not wait for the disk: after a power cut the file may be too
    short, which is noticed when it is opened, and nothing but the moment's work is lost.

    Raises
    ------
    StpipeError
        When the folder is missing or cannot be written to, or the disk is full.
    """
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            if target.exists():
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StpipeError(
            f"{target} cannot be written: {error.strerror or error}; "
            "check the folder, its permissions and the space on the disk."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
