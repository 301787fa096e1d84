"""Packed files (gzip, bzip2, xz): unpacked once, into memory or, when large, into a scratch file."""

from __future__ import annotations

import importlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stpipe.errors import InputError
from stpipe.models.storage.scratch import Scratch
from stpipe.models.storage.source import Source, identity_of

__all__ = ["source_of", "unpack"]

IN_MEMORY = 64_000_000  # bytes; what is larger goes to a scratch file
LARGEST = 1_000_000_000  # bytes that any file may unpack to
RATIO = 100  # and larger ones this many times their size, which nothing measured does
_CHUNK = 1 << 20


class _Packer(NamedTuple):
    """One way to pack a file: how such a file begins, what unpacks it elsewhere and here."""

    start: bytes
    name: str
    tool: str
    module: str


_PACKERS = (
    _Packer(b"\x1f\x8b", "gzip", "gunzip", "gzip"),
    _Packer(b"BZh", "bzip2", "bunzip2", "bz2"),
    _Packer(b"\xfd7zXZ\0", "xz", "unxz", "lzma"),
)
_LONGEST_START = 6


def source_of(path: Path) -> Source:
    """Describe the file at ``path``; what gzip, bzip2 or xz has packed is unpacked.

    Raises
    ------
    InputError
        When it is missing, a folder, unreadable, or packed and damaged or absurd.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not path.is_dir():
            raise InputError(f"{path} is not a file but a pipe or device; copy it into a file.")
        with path.open("rb") as stream:
            start = stream.read(_LONGEST_START)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the name and the folder.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give a FITS or ASDF file in it.") from None
    except (OSError, ValueError) as error:  # of names that no file can have
        reason = getattr(error, "strerror", error)
        raise InputError(f"{str(path)!r:.300} cannot be read: {reason}.") from None
    for packer in _PACKERS:
        if start.startswith(packer.start):
            return unpack(path, status.st_size, packer)
    return Source(path, identity_of(status), status.st_size, place=path.absolute())


def unpack(path: Path, packed: int, packer: _Packer = _PACKERS[0]) -> Source:
    """What a file of `packed` bytes holds.

    Raises
    ------
    InputError
        When it is damaged, or would unpack to an absurd size.
    """
    limit = max(LARGEST, RATIO * packed)
    target: io.BytesIO | Scratch = io.BytesIO()
    size = 0
    with _blaming(path, packer):
        for chunk in _chunks(path, packer):
            size += len(chunk)
            if size > limit:
                raise InputError(
                    f"{path} ({packed} bytes) unpacks to more than {limit} bytes, more than {RATIO} "
                    f"times its size; unpack it with {packer.tool} if that is what it should be."
                )
            if isinstance(target, io.BytesIO) and size > IN_MEMORY:
                in_memory, target = target, Scratch()
                _append(target, in_memory.getvalue())
            _append(target, chunk)
    if isinstance(target, Scratch):
        return target.source(path)
    return Source(path, (0, 0, 0), size, target.getvalue())


@contextmanager
def _blaming(path: Path, packer: _Packer) -> Iterator[None]:
    """Tell a damaged file from a disk that is full."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except OSError as error:
        # What gzip and bz2 say of the file has no number; whatever the system says has one.
        if error.errno is None:
            raise _damaged(path, packer, error) from None
        raise InputError(
            f"{path} cannot be unpacked: {error.strerror or error}; large files need room in TMPDIR."
        ) from None
    except (EOFError, zlib.error, MemoryError) as error:
        raise _damaged(path, packer, error) from None
    except Exception as error:  # of lzma, which is imported for its own files alone
        if type(error).__name__ != "LZMAError":
            raise
        raise _damaged(path, packer, error) from None


def _damaged(path: Path, packer: _Packer, error: BaseException) -> InputError:
    reason = str(error) or "its header asks for more memory than there is"
    return InputError(f"{path} is a damaged {packer.name} file ({reason}); get it again.")


def _chunks(path: Path, packer: _Packer) -> Iterator[bytes]:
    with importlib.import_module(packer.module).open(path) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _append(target: io.BytesIO | Scratch, chunk: bytes) -> None:
    if isinstance(target, io.BytesIO):
        target.write(chunk)
        return
    left = memoryview(chunk)
    while left:
        left = left[os.write(target.handle, left) :]
