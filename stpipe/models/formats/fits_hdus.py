"""The header-data units of a FITS file: what is where, without reading pixels.

FITS Standard 4.0, sections 3.3 (files), 7.1 (images) and 7.3 (binary tables).
"""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats.fits_cards import BLOCK, Header, parse_header
from stpipe.models.storage.arrays import Array, Scaling, Stored
from stpipe.models.storage.source import Source
from stpipe.system.text import counted

__all__ = ["VARIABLE", "Columns", "Hdu", "blaming_header", "form_of", "scan"]

_CARDS = re.compile(rb"(?:.{80})*?END {77}", re.DOTALL)
# Text, and the white space that careless writers leave in comments.
_CONTROL = re.compile(rb"[^\t\n\r -~\x80-\xff]")
_COUNT = re.compile(r"(\d+) extensions follow")
_FORMAT = re.compile(r"(\d*)([A-Z])")
VARIABLE = re.compile(r"\s*\d*[PQ]([A-Z])")
"""The format of a column whose cells differ in length (FITS standard 7.3.5)."""

# What describes the tiles of a compressed image, or belongs to the program fpack (FITS standard 10).
_OF_TILES = re.compile(
    r"(Z(IMAGE|TABLE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|MASKCMP|QUANTIZ|DITHER0|SIMPLE"
    r"|TENSION|EXTEND|BLOCKED|PCOUNT|GCOUNT|HECKSUM|DATASUM|BLANK|SCALE|ZERO)"
    r"|FZ(ALGOR|TILE|QMETHD|QVALUE|DTHRSD|INT2F|HSCALE)"
    r"|T(NULL|UNIT|DISP|COMM)\d+)$"
)
_EXTENSION = b"XTENSION= '"
_COMMENTARY = ("", "COMMENT", "HISTORY")
_READ_AHEAD = 8 * BLOCK
# Far beyond any header that means something; without a limit a large damaged file would be read whole.
_LONGEST_HEADER = 5000 * BLOCK
_MOST_COLUMNS = 999  # FITS standard 7.3.1
_LARGEST_EMPTY = 1 << 28
log = logging.getLogger(__name__)

# Bits per pixel, and the letters of table columns, to numpy.
_PIXELS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_LETTERS = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8"}
_LETTERS |= {"E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}


@dataclass(frozen=True)
class Hdu:
    """One header-data unit of ``source``; its data start at byte ``offset``."""

    source: Source
    header: Header
    start: int
    offset: int

    @functools.cached_property
    def name(self) -> str:
        """EXTNAME, or PRIMARY."""
        return str(self._values.get("EXTNAME") or ("PRIMARY" if self.start == 0 else "")).upper()

    @property
    def version(self) -> int:
        """EXTVER."""
        return int(self._values.get("EXTVER") or 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in Python order; of a table the number of rows."""
        axis = "ZNAXIS" if self.is_compressed else "NAXIS"
        axes = tuple(int(self._values[f"{axis}{n}"]) for n in range(self._values[axis], 0, -1))
        return axes[:1] if self.is_table or self.is_ascii_table else axes

    @property
    def bits(self) -> int:
        """BITPIX: of the image, be it compressed."""
        return int(self._values["ZBITPIX" if self.is_compressed else "BITPIX"])

    @property
    def raw(self) -> np.dtype[Any]:
        """How pixels are stored, once they are unpacked."""
        return np.dtype(_PIXELS[self.bits])

    @functools.cached_property
    def metadata(self) -> Header:
        """The cards that do not describe how the data are stored."""
        bare = self.header.without_structure()
        if not self.is_compressed:
            return bare
        return Header(card for card in bare if not _OF_TILES.match(card.keyword))

    @property
    def size(self) -> int:
        """Bytes of data, without padding."""
        values = self._values
        axes = [int(values[f"NAXIS{n}"]) for n in range(1, values["NAXIS"] + 1)]
        if not axes:
            return 0
        if values.get("GROUPS") is True and not axes[0]:
            del axes[0]  # random groups (FITS standard 6)
        pixels = math.prod(axes) + int(values.get("PCOUNT") or 0)
        return abs(int(values["BITPIX"])) // 8 * int(values.get("GCOUNT") or 1) * pixels

    @property
    def has_data(self) -> bool:
        """Whether there is an array, be it an empty one."""
        return bool(self._values["NAXIS"])

    @property
    def is_table(self) -> bool:
        """Whether this is a binary table that holds no compressed image."""
        return self._values.get("XTENSION") == "BINTABLE" and not self.is_compressed

    @property
    def is_ascii_table(self) -> bool:
        """Whether this is a table of text (FITS standard 7.2)."""
        return self._values.get("XTENSION") == "TABLE"

    @property
    def is_compressed(self) -> bool:
        """Whether this is a tile-compressed image."""
        return self._values.get("ZIMAGE") is True

    @property
    def is_compressed_table(self) -> bool:
        """Whether this is a tile-compressed table."""
        return self._values.get("ZTABLE") is True

    @functools.cached_property
    def is_variable(self) -> bool:
        """Whether this is a table with columns whose cells differ in length."""
        forms = (card.value for card in self.header if card.keyword.startswith("TFORM"))
        return self.is_table and any(VARIABLE.match(str(form)) for form in forms)

    @property
    def is_plain(self) -> bool:
        """Whether the data are an image or a binary table, as it is."""
        unusual = self.is_compressed or self.is_ascii_table or self.is_compressed_table
        return not unusual and not self.is_variable

    def data(self) -> Stored:
        """The array or table, left in the file, when its bytes are plain ones.

        Raises
        ------
        InputError
            When its format is not one that is understood.
        """
        with blaming_header(self):
            if not self.is_table:
                return Stored(self.source, self.offset, self.raw, self.shape, self.scaling())
            raw, columns = self.columns()
            return Stored(self.source, self.offset, raw, self.shape, columns)

    def columns(self) -> tuple[np.dtype[Any], Columns]:
        """The rows of a table as they are stored, and how they become values."""
        raw, columns = _columns(self)
        if raw.itemsize != self._values["NAXIS1"]:
            raise ValueError(f"columns of {raw.itemsize} bytes in rows of NAXIS1 bytes")
        return raw, columns

    def scaling(self) -> Scaling | None:
        """How stored pixels become values."""
        scale, zero = _finite(self._values.get("BSCALE", 1)), _finite(self._values.get("BZERO", 0))
        # Only integers have a value that stands for none (FITS standard 4.4.2.5).
        blank = self._values.get("BLANK") if self.bits > 0 else None
        return None if (scale, zero, blank) == (1, 0, None) else Scaling(scale, zero, blank)

    @functools.cached_property
    def _values(self) -> dict[str, Any]:
        return {
            card.keyword: card.value
            for card in reversed(self.header)
            if card.is_structural or card.keyword.startswith("Z")
        }

    def __str__(self) -> str:
        return f"{self.source.path}[{self.name},{self.version}]"


@dataclass(frozen=True)
class Columns:
    """How the columns of a binary table become values."""

    names: tuple[str, ...]
    decoders: tuple[Scaling | None, ...]
    logical: frozenset[str]

    def decoded(self, raw: np.dtype[Any]) -> np.dtype[Any]:
        """The native dtype of the table."""
        return np.dtype(
            [self._column(raw, *pair) for pair in zip(self.names, self.decoders, strict=True)]
        )

    def decode(self, block: Array, values: Array) -> None:
        """Put the values of some rows into ``values``; strings lose the spaces that fill them up."""
        for name, decoder in zip(self.names, self.decoders, strict=True):
            column = block[name]
            if name in self.logical:
                values[name] = column == b"T"
            elif column.dtype.kind == "S":
                values[name] = np.char.rstrip(column)
            elif decoder:
                decoder.decode(column, values[name])
            else:
                values[name] = column

    def _column(self, raw: np.dtype[Any], name: str, decoder: Scaling | None) -> Any:
        column = raw[name]
        base = np.dtype("?") if name in self.logical else column.base.newbyteorder("=")
        return (name, decoder.decoded(column.base) if decoder else base, column.shape)


def scan(source: Source) -> list[Hdu]:
    """Every unit of a FITS file, from the headers alone.

    Raises
    ------
    InputError
        When a header is damaged, or the file ends before its data do.
    """
    units: list[Hdu] = []
    at = 0
    with source.open() as stream:
        while at < source.size:
            header, offset = _header(stream, source, at)
            if header is None:
                _check_rest(stream, source, at)
                break
            unit = Hdu(source, header, at, offset)
            _check(unit)
            units.append(unit)
            at = offset + unit.size + -unit.size % BLOCK
    _check_count(source, units)
    return [_with_header_of_image(units[0], units[1]), *units[1:]] if units[1:] else units


def _with_header_of_image(primary: Hdu, first: Hdu) -> Hdu:
    """The primary unit with the keywords that fpack moved along with its image, if it had one."""
    if not first.is_compressed or first.header.get("ZSIMPLE") is not True:
        return primary
    known = {card.keyword for card in primary.header if card.keyword not in _COMMENTARY}
    moved = [card for card in first.metadata if card.keyword not in known]
    return replace(primary, header=Header([*primary.header, *moved]))


def _check_rest(stream: BinaryIO, source: Source, at: int) -> None:
    """Detect extensions that cannot be found, because bytes before them are missing or too many."""
    stream.seek(at)
    before = b""
    while block := stream.read(_READ_AHEAD):
        if _EXTENSION in before + block:
            raise InputError(
                f"{source.path} is damaged: no extension begins at byte {at}, but one does further "
                "on; download or rebuild it."
            )
        before = block[-len(_EXTENSION) :]


def _check_count(source: Source, units: list[Hdu]) -> None:
    """Detect a file of ours that was truncated between two extensions: the last one is ``ASDF``.

    How many there are stands in the comment of EXTEND, which no other software copies to files of
    its own, as it would a keyword.
    """
    card = units[0].header.find("EXTEND") if units else None
    match = _COUNT.match(card.comment) if card else None
    if match and int(match[1]) > len(units) - 1 and units[-1].name != "ASDF":
        raise InputError(
            f"{source.path} is incomplete: it should have {counted(int(match[1]), 'extension')}, but "
            f"has {len(units) - 1}; download or rebuild it (or correct EXTEND, if you removed some)."
        )


def _header(stream: BinaryIO, source: Source, at: int) -> tuple[Header | None, int]:
    stream.seek(at)
    text = stream.read(_READ_AHEAD)
    # Anything else after the last extension is not ours to understand (FITS standard 3.5).
    if at and not text.startswith(b"XTENSION"):
        return None, at
    while (match := _CARDS.match(text)) is None:
        more = stream.read(len(text)) if len(text) < _LONGEST_HEADER else b""
        if not more:
            raise InputError(
                f"{source.path} is damaged: the header at byte {at} has no END before byte "
                f"{at + len(text)}; download or rebuild it."
            )
        text += more
    if wrong := _CONTROL.search(match[0]):
        raise InputError(
            f"{source.path} is damaged: the header at byte {at} has the control character "
            f"{wrong[0]!r} at byte {at + wrong.start()}; download or rebuild it."
        )
    length = match.end()
    return parse_header(match[0].decode("latin-1")), at + length + -length % BLOCK


def _check(unit: Hdu) -> None:
    with blaming_header(unit):
        values = unit._values  # noqa: SLF001 - ours
        axes = int(values["NAXIS"]), *unit.shape, unit.size, unit.version
        if min(axes) < 0 or unit.bits not in _PIXELS:
            raise ValueError(f"BITPIX is {unit.bits}, the axes are {unit.shape}")
        is_table = values.get("XTENSION") in ("BINTABLE", "TABLE")
        if is_table and (values["BITPIX"], axes[0]) != (8, 2):
            raise ValueError(f"a table has BITPIX {values['BITPIX']}, NAXIS {axes[0]}")
        if not unit.size and math.prod(axis or 1 for axis in unit.shape) > _LARGEST_EMPTY:
            raise ValueError(f"there are no data, and the axes are {unit.shape}")
    end, found = unit.offset + unit.size, unit.source.size
    if end > found:
        raise InputError(
            f"{unit.source.path} is incomplete: the data of extension {unit.name} should end at "
            f"byte {end}, but the file ends at byte {found}; download or rebuild it."
        )
    if end + -end % BLOCK > found:
        log.warning(
            "%s: the last block is not filled up: the file ends at byte %d and should end at byte %d, "
            "a multiple of %d. All data of %s are there",
            unit.source.path, found, end + -end % BLOCK, BLOCK, unit.name,
        )  # fmt: skip


@contextmanager
def blaming_header(unit: Hdu) -> Iterator[None]:
    """Turn any error while a header is interpreted into one sentence about the file."""
    try:
        yield
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{unit.source.path} is damaged: the header at byte {unit.start} does not describe its "
            f"data ({type(error).__name__}: {error}); download or rebuild it."
        ) from None


def _columns(unit: Hdu) -> tuple[np.dtype[Any], Columns]:
    header = unit.header.by_keyword()

    def get(keyword: str, default: object = None) -> Any:
        return header[keyword].value if keyword in header else default

    raw, names, decoders, logical = [], [], [], set()
    count = int(get("TFIELDS", 0))
    if not 0 <= count <= _MOST_COLUMNS:
        raise ValueError(f"TFIELDS is {count}")
    for number in range(1, count + 1):
        name = str(get(f"TTYPE{number}") or f"col{number}")
        letter, column = _column(unit, str(get(f"TFORM{number}")), get(f"TDIM{number}"))
        scale, zero = _finite(get(f"TSCAL{number}", 1)), _finite(get(f"TZERO{number}", 0))
        blank = get(f"TNULL{number}") if letter in "BIJK" else None
        plain = (scale, zero) == (1, 0) or letter in "ALPQ"
        raw.append((name, *column))
        names.append(name)
        decoders.append(None if plain else Scaling(scale, zero, blank))
        logical |= {name} if letter == "L" else set()
    return np.dtype(raw), Columns(tuple(names), tuple(decoders), frozenset(logical))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"values are scaled by {number}")
    return number


def _column(unit: Hdu, form: str, dim: str | None) -> tuple[str, tuple[str, tuple[int, ...]]]:
    match = _FORMAT.match(form)
    if match is None or match[2] not in (*_LETTERS, *"AXPQ"):
        raise InputError(f"{unit}: columns of the format {form} are not supported.")
    repeat, letter = int(match[1] or 1), match[2]
    if letter in "PQ":  # how many items a cell has, and where they are
        return letter, (">i4" if letter == "P" else ">i8", (2,) if repeat else (0,))
    return form_of(letter, repeat, dim)


def form_of(
    letter: str, repeat: int, dim: str | None = None
) -> tuple[str, tuple[str, tuple[int, ...]]]:
    """How numpy has cells of so many items: their letter, dtype and shape."""
    if letter == "X":
        return letter, ("u1", (-(-repeat // 8),))
    shape = tuple(int(n) for n in reversed(re.findall(r"\d+", dim or ""))) or (repeat,)
    if letter == "A":
        width = shape[-1] if dim else repeat
        return letter, (f"S{width}", shape[:-1] if dim else ())
    return letter, (_LETTERS[letter], () if shape == (1,) and not dim else shape)
