"""Files that gzip has packed: unpacked once, into memory or, when large, into a scratch file."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from stpipe.errors import InputError
from stpipe.models.storage.scratch import Scratch
from stpipe.models.storage.source import Source, identity_of

__all__ = ["source_of", "unpack"]

IN_MEMORY = 64_000_000  # bytes; what is larger goes to a scratch file
LARGEST = 1_000_000_000  # bytes that any file may unpack to
RATIO = 100  # and larger ones this many times their size, which nothing measured does
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


def source_of(path: Path) -> Source:
    """Describe the file at ``path``; what gzip has packed is unpacked.

    Raises
    ------
    InputError
        When it is missing, a folder, unreadable, or damaged or absurd gzip.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not path.is_dir():
            raise InputError(f"{path} is not a file but a pipe or device; copy it into a file.")
        with path.open("rb") as stream:
            packed = stream.read(2) == _GZIP
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the name and the folder.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give a FITS or ASDF file in it.") from None
    except (OSError, ValueError) as error:  # of names that no file can have
        reason = getattr(error, "strerror", error)
        raise InputError(f"{str(path)!r:.300} cannot be read: {reason}.") from None
    if packed:
        return unpack(path, status.st_size)
    return Source(path, identity_of(status), status.st_size, place=path.absolute())


def unpack(path: Path, packed: int) -> Source:
    """What a file of `packed` bytes holds.

    Raises
    ------
    InputError
        When it is damaged, or would unpack to an absurd size.
    """
    limit = max(LARGEST, RATIO * packed)
    target: io.BytesIO | Scratch = io.BytesIO()
    size = 0
    try:
        for chunk in _chunks(path):
            size += len(chunk)
            if size > limit:
                raise InputError(
                    f"{path} ({packed} bytes) unpacks to more than {limit} bytes, more than "
                    f"{RATIO} times its size; unpack it with gunzip if that is what it should be."
                )
            if isinstance(target, io.BytesIO) and size > IN_MEMORY:
                in_memory, target = target, Scratch()
                _append(target, in_memory.getvalue())
            _append(target, chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is a damaged gzip file ({error}); download it again.") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be unpacked: {error.strerror or error}; large files need room in TMPDIR."
        ) from None
    if isinstance(target, Scratch):
        return target.source(path)
    return Source(path, (0, 0, 0), size, target.getvalue())


def _chunks(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _append(target: io.BytesIO | Scratch, chunk: bytes) -> None:
    if isinstance(target, io.BytesIO):
        target.write(chunk)
        return
    left = memoryview(chunk)
    while left:
        left = left[os.write(target.handle, left) :]
