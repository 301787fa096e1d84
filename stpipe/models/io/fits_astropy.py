"""What astropy reads for us of FITS files: images compressed by tiles, and tables of text.

Our own codec has plain images and binary tables. These are rare, and astropy has them already; it is
imported when there is one.
"""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats.fits_cards import BLOCK, format_card
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.storage.arrays import Array, Stored
from stpipe.models.storage.late import Shelf

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["text_table", "unpacked_image"]

_ALGORITHMS = (
    "RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS",
)  # fmt: skip
_AT_ONCE = 1 << 24  # bytes of pixels that are unpacked at once, when tiles allow it
# What few bytes may claim to become: more than that is a bomb, not an image.
_LARGEST_CLAIM = 1_000_000_000
_RATIO = 100
_LARGEST_TEXT = 1 << 28


def unpacked_image(unit: Hdu, shelf: Shelf) -> Stored:
    """The pixels of a compressed image, unpacked on the first touch.

    Raises
    ------
    InputError
        When nobody knows the algorithm, or the image would become absurdly large.
    """
    algorithm = str(unit.header.get("ZCMPTYPE") or "").strip()
    if algorithm not in _ALGORITHMS:
        raise InputError(
            f'{unit}: the image is compressed by "{algorithm}"; known are {", ".join(_ALGORITHMS)}. '
            "Unpack it with the program that made it."
        )
    size = math.prod(unit.shape) * unit.raw.itemsize
    if size > max(_LARGEST_CLAIM, _RATIO * unit.size):
        raise InputError(
            f"{unit} is damaged: an image of {size} bytes in {unit.size} compressed ones; get it "
            "again, or unpack it with funpack if that is what it should be."
        )
    late = shelf.late(size, partial(_pixels, unit))
    return Stored(late, late.at, unit.raw, unit.shape, unit.scaling())


def text_table(unit: Hdu) -> Array:
    """A table of text (XTENSION TABLE) as an array.

    Raises
    ------
    InputError
        When it is damaged, or too large for such a table.
    """
    if unit.size > _LARGEST_TEXT:
        raise InputError(f"{unit}: a table of text of {unit.size} bytes; make it a binary table.")
    with _opened(unit) as read:
        names = read.columns.names
        columns = [np.asarray(read.data[name]) for name in names]
    # Fields of text are filled up with spaces.
    coded = [
        np.char.rstrip(np.char.encode(c, "latin-1")) if c.dtype.kind == "U" else c for c in columns
    ]
    table = np.empty(unit.shape, [(n, c.dtype) for n, c in zip(names, coded, strict=True)])
    for name, column in zip(names, coded, strict=True):
        table[name] = column
    return table


def _pixels(unit: Hdu) -> Iterator[Any]:
    """The stored pixels of a compressed image, a piece at a time."""
    with _opened(unit) as read:
        tile = (*itertools.repeat(1, len(unit.shape) - len(read.tile_shape)), *read.tile_shape)
        for place in _places(unit.shape, tile, unit.raw.itemsize):
            yield np.ascontiguousarray(read.section[place], unit.raw).view(np.uint8).data


def _places(
    shape: tuple[int, ...], tile: tuple[int, ...], itemsize: int
) -> Iterator[tuple[int | slice, ...]]:
    """Stretches of an image, in order, of few enough bytes and of whole tiles along their axis."""
    axis = next(
        (n for n in range(len(shape)) if math.prod(shape[n + 1 :]) * itemsize <= _AT_ONCE),
        len(shape) - 1,
    )
    row = max(math.prod(shape[axis + 1 :]) * itemsize, 1)
    step = max(_AT_ONCE // row // tile[axis], 1) * tile[axis]
    for leading in itertools.product(*(range(size) for size in shape[:axis])):
        for start in range(0, shape[axis], step):
            yield (*leading, slice(start, min(start + step, shape[axis])))


@contextmanager
def _opened(unit: Hdu) -> Iterator[Any]:
    """The unit as astropy has it, alone in a file; whatever goes wrong is the file's fault."""
    from astropy.io import fits

    with unit.source.open() as stream, warnings.catch_warnings():
        # What is unusual about the file has been said already, or is astropy's own affair.
        warnings.simplefilter("ignore")
        try:
            alone = io.BufferedReader(_Alone(stream, unit))
            with fits.open(alone, memmap=False, do_not_scale_image_data=True) as units:
                yield units[1]
        except (InputError, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            words = " ".join(str(error).split())
            raise InputError(
                f"{unit} is damaged: it cannot be unpacked ({type(error).__name__}: {words}); get it "
                "or make it again."
            ) from error


class _Alone(io.RawIOBase):
    """A FITS file of one extension, taken from another: astropy need not read all before it."""

    _CARDS = (("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True))

    def __init__(self, stream: BinaryIO, unit: Hdu) -> None:
        self._stream = stream
        start = "".join(format_card(*card, "").image for card in self._CARDS)
        self._before = f"{start}END".encode().ljust(BLOCK)
        self._first = unit.start
        length = unit.offset - unit.start + unit.size
        self._length = BLOCK + length + -length % BLOCK
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._length - self._at))
        if self._at < BLOCK:
            piece = self._before[self._at : self._at + wanted]
        else:
            self._stream.seek(self._first + self._at - BLOCK)
            # The last block of the file may not be filled up.
            piece = self._stream.read(wanted).ljust(wanted, b"\0")
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
