"""Tables whose cells differ in length: their items lie in a heap after the rows (FITS standard 7.3.5).

Models have rectangular tables, so every cell becomes as long as the longest of its column. What is
filled up is not a number, or the column's TNULL, or else zero.

This is done here and not by astropy, which reads unsigned integers of such columns with a wrong sign
(seen in 8.0.2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO, Final

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats.fits_cards import Header, format_card
from stpipe.models.formats.fits_hdus import VARIABLE, Hdu, blaming_header, form_of
from stpipe.models.storage.arrays import Array, Stored
from stpipe.models.storage.late import Shelf

__all__ = ["rectangular"]

# What few bytes may become: one long cell makes its whole column wide.
_LARGEST_CLAIM = 1 << 28
_RATIO = 100
_FLOATING: Final = "EDCM"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Column:
    """A column whose cells have between so many items; `number` counts from 1."""

    number: int
    name: str
    letter: str
    shortest: int | None = None
    longest: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the longest cell."""
        return int(self.size(self.longest))

    def size(self, count: Any) -> Any:
        """Bytes of so many items."""
        if self.letter == "X":
            return -(-count // 8)
        return count * np.dtype(form_of(self.letter, 1)[1][0]).itemsize


def rectangular(unit: Hdu, shelf: Shelf) -> Stored:
    """The table with cells of one length in each column, made on the first touch.

    Raises
    ------
    InputError
        When a cell is beyond the heap, or the table would become absurdly large.
    """
    with blaming_header(unit):
        raw, _ = unit.columns()
        columns = _measured(unit, raw)
        plain = replace(unit, header=_plain_header(unit, raw, columns))
        rows, _ = plain.columns()
    _check(unit, plain.size, columns)
    pieces = partial(_pieces, unit, (raw, rows), columns, _heap(unit)[0])
    late = shelf.late(plain.size, pieces)
    return replace(plain, source=late, offset=late.at).data()


def _measured(unit: Hdu, raw: np.dtype[Any]) -> list[_Column]:
    """The columns whose cells differ in length, and how long those are."""
    cards = unit.header.by_keyword()
    found = []
    for number, name in enumerate(raw.names or (), 1):
        match = VARIABLE.match(str(cards[f"TFORM{number}"].value))
        if match and raw[name].shape == (2,):  # a column may also have no place for cells: 0PE
            found.append(_Column(number, name, match[1]))
    for block in _blocks(unit, raw):
        found = [_extended(column, block[column.name], _heap(unit)[1]) for column in found]
    return found


def _extended(column: _Column, cells: Array, heap: int) -> _Column:
    """The column with the lengths of more cells; all of them are within the heap."""
    counts, offsets = (cells[:, n].astype("i8") for n in (0, 1))
    there = counts > 0
    # Sizes are computed once it is certain that they are no larger than the heap.
    is_within = counts.min() >= 0 and counts.max() <= 8 * heap
    is_within = is_within and np.all((offsets[there] >= 0) & (offsets[there] <= heap))
    if not is_within or (offsets + column.size(counts))[there].max(initial=0) > heap:
        raise ValueError(f"a cell of {column.name} is not within the heap of {heap} bytes")
    shortest, longest = int(counts.min()), int(counts.max())
    if column.shortest is not None:
        shortest = min(shortest, column.shortest)
    return replace(column, shortest=shortest, longest=max(longest, column.longest))


def _blocks(unit: Hdu, raw: np.dtype[Any]) -> Iterator[Array]:
    """The rows of a table as they are stored, some at a time."""
    for piece in Stored(unit.source, unit.offset, raw, unit.shape).pieces():
        yield np.frombuffer(piece, raw)


def _heap(unit: Hdu) -> tuple[int, int]:
    """Where the heap of a table starts in the file, and how many bytes it has."""
    rows = int(unit.header.get("NAXIS1")) * int(unit.header.get("NAXIS2"))
    gap = int(unit.header.get("THEAP", rows))
    if not rows <= gap <= unit.size:
        raise ValueError(f"THEAP is {gap}; the rows end at byte {rows}, the data at {unit.size}")
    return unit.offset + gap, unit.size - gap


def _plain_header(unit: Hdu, raw: np.dtype[Any], columns: Sequence[_Column]) -> Header:
    """The header of the table with cells of one length."""
    width = raw.itemsize + sum(c.nbytes - raw[c.name].itemsize for c in columns)
    changed: dict[str, Any] = {"NAXIS1": width, "PCOUNT": 0}
    changed |= {f"TFORM{c.number}": f"{c.longest}{c.letter}" for c in columns}
    dropped = {"THEAP", *(f"TDIM{c.number}" for c in columns)}
    cards = (card for card in unit.header if card.keyword not in dropped)
    return Header(
        format_card(c.keyword, changed[c.keyword], "") if c.keyword in changed else c for c in cards
    )


def _check(unit: Hdu, size: int, columns: Sequence[_Column]) -> None:
    """Refuse tables that would fill the memory, and say what becomes of short cells."""
    if size > max(_LARGEST_CLAIM, _RATIO * unit.size):
        widest = max(columns, key=lambda column: column.nbytes)
        raise InputError(
            f"{unit}: cells of the column {widest.name} have up to {widest.longest} items; with all "
            f"as long as that, the table would become {size} bytes out of {unit.size}. Leave that "
            "column out, or cut the cell that is much longer than others."
        )
    for column in columns:
        shortest = column.longest if column.shortest is None else column.shortest
        if shortest < column.longest and column.letter not in "ALX":
            log.warning(
                "%s: cells of the column %s have from %d to %d items; short ones are filled up with %s",
                unit, column.name, shortest, column.longest, _words(unit, column),
            )  # fmt: skip


def _words(unit: Hdu, column: _Column) -> str:
    if column.letter in _FLOATING:
        return "NaN"
    return str(unit.header.get(f"TNULL{column.number}", 0))


def _pieces(
    unit: Hdu,
    dtypes: tuple[np.dtype[Any], np.dtype[Any]],
    columns: Sequence[_Column],
    heap: int,
) -> Iterator[Any]:
    """The rows with cells of one length, some at a time, as they are stored."""
    raw, plain = dtypes
    ours = {column.name for column in columns}
    with unit.source.open() as stream:
        for block in _blocks(unit, raw):
            rows = np.zeros(len(block), plain)
            for name in raw.names or ():
                if name not in ours:
                    rows[name] = block[name]
            for column in columns:
                _fill(rows, column, unit, block[column.name], (stream, heap))
            yield rows.tobytes()


def _fill(
    rows: Array, column: _Column, unit: Hdu, cells: Array, heap: tuple[BinaryIO, int]
) -> None:
    """Put the items of one column into its rows."""
    stream, start = heap
    if not column.longest:
        return
    values = rows[column.name]
    if column.letter != "A":
        values[...] = _filler(unit, column, values.dtype)
    flat = np.empty((len(rows), column.nbytes), np.uint8)
    flat[...] = np.ascontiguousarray(values).view(np.uint8).reshape(flat.shape)
    for row, (count, offset) in enumerate(cells.tolist()):
        if count:
            stream.seek(start + offset)
            size = column.size(count)
            flat[row, :size] = np.frombuffer(stream.read(size), np.uint8)
    rows[column.name] = flat.reshape(-1).view(values.dtype).reshape(values.shape)


def _filler(unit: Hdu, column: _Column, dtype: np.dtype[Any]) -> Any:
    """What stands in the place of items that are not there, as it is stored."""
    if column.letter in _FLOATING:
        return np.nan
    if column.letter == "L":
        return b"F"
    zero, scale = (
        unit.header.get(f"{k}{column.number}", default)
        for k, default in (("TZERO", 0), ("TSCAL", 1))
    )
    filler = unit.header.get(f"TNULL{column.number}")
    if filler is None:
        filler = round(-zero / scale) if scale else 0
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo("u1")
    return min(max(int(filler), info.min), info.max)
