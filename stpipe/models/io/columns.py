"""Columns of tables of astropy as models have them: rectangular, without masks and units of their own.

A masked integer becomes a value that the column does not have otherwise, and the keyword TNULL says
which: so FITS files tell it, and a table that is written as text has an empty cell again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stpipe.errors import InputError
from stpipe.models.storage.arrays import Array

__all__ = ["NULL", "Table", "null_card", "null_value", "plain_table", "without_mask"]

NULL = "TNULL"
"""The keyword of the integer that stands for none."""

_LARGEST = 1 << 28  # bytes of a column whose cells are as long as the longest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """The columns of a file, before it is known which model they are of.

    ``nulls`` has what stands for none in columns of integers with masked cells, as TNULL has it.
    """

    values: Array
    units: Mapping[str, str]
    descriptions: Mapping[str, str]
    nulls: Mapping[str, int] = field(default_factory=dict)


def plain_table(table: Any, where: str) -> Table:
    """A table of astropy, its coordinates and other mixed columns as plain ones (``name.ra``).

    Raises
    ------
    InputError
        When cells are objects that no model has.
    """
    from astropy.table.serialize import represent_mixins_as_columns

    flat = represent_mixins_as_columns(table)
    columns: dict[str, Array] = {}
    nulls: dict[str, int] = {}
    for name in flat.colnames:
        values, null = without_mask(
            _rectangular(flat[name], f"{where}: {name}"), f"{where}: {name}"
        )
        columns[name] = np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
        if null is not None:
            nulls[name] = null_card(values.dtype, null)
    rows = np.empty(len(flat), [(n, c.dtype, c.shape[1:]) for n, c in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    units = {n: str(flat[n].unit) for n in columns if str(flat[n].unit or "")}
    about = {n: str(flat[n].description) for n in columns if flat[n].description}
    return Table(rows, units, about, nulls)


def without_mask(values: Any, where: str) -> tuple[Array, int | None]:
    """Values without a mask, and what stands for none among integers, if any is masked."""
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.array(np.ma.getdata(values)) if mask is not None else np.asarray(values)
    if mask is None or not mask.any():
        return plain, None
    kind, null = plain.dtype.kind, None
    if kind in "fc":
        plain[mask] = np.nan
    elif kind in "iu":
        null = _unused(plain[~mask], plain.dtype)
        plain[mask] = null
    else:
        plain[mask] = False if kind == "b" else b"" if kind == "S" else ""
    if kind in "iub":
        filled = "false" if null is None else null
        log.warning("%s: %d cells have no value; they are %s here", where, mask.sum(), filled)
    return plain, null


def null_card(dtype: np.dtype[Any], value: int) -> int:
    """What TNULL has for a value: the integer as FITS stores it, unsigned ones without their offset."""
    return value - _offset(dtype)


def null_value(dtype: np.dtype[Any], card: object) -> int | None:
    """The value of a column that stands for none, from what TNULL has."""
    try:
        value = int(str(card)) + _offset(dtype)
    except ValueError:
        return None
    info = np.iinfo(dtype)
    return value if info.min <= value <= info.max else None


def _offset(dtype: np.dtype[Any]) -> int:
    if dtype.kind == "u" and dtype.itemsize > 1:
        return 1 << (8 * dtype.itemsize - 1)
    return -128 if dtype == np.int8 else 0


def _unused(values: Array, dtype: np.dtype[Any]) -> int:
    """An integer that is not among the values: the smallest of signed ones, the largest of others."""
    info = np.iinfo(dtype)
    first, step = (info.min, 1) if dtype.kind == "i" else (info.max, -1)
    there = set(values.reshape(-1).tolist())
    return next(n for n in (int(first) + step * k for k in range(len(there) + 1)) if n not in there)


def _rectangular(column: Any, where: str) -> Any:
    """A column whose cells have one shape; cells of different lengths are filled up."""
    if column.dtype.kind != "O":
        return column
    mask = np.ma.getmaskarray(column)
    cells = list(_cells(np.ma.getdata(column), mask, where))
    shapes = {cell.shape for cell in cells if cell is not None} or {(0,)}
    if len({len(shape) for shape in shapes}) != 1:
        raise InputError(f"{where}: its cells have {len(shapes)} shapes of different dimensions.")
    shape = tuple(max(axes) for axes in zip(*shapes, strict=True))
    dtype = np.result_type(*(cell for cell in cells if cell is not None), np.int8)
    if len(cells) * int(np.prod(shape, dtype=float)) * dtype.itemsize > _LARGEST:
        raise InputError(f"{where}: one cell is much longer than the others; leave it out.")
    found = np.ma.MaskedArray(np.zeros((len(cells), *shape), dtype), mask=True)
    for row, cell in zip(found, cells, strict=True):
        if cell is not None:
            row[tuple(slice(size) for size in cell.shape)] = cell
    if dtype.kind in "fc" and found.mask.any():
        log.warning("%s: cells differ in length; short ones are filled up with NaN", where)
    return found


def _cells(values: Array, mask: Array, where: str) -> Iterator[Any]:
    """The cells of a column of objects as masked arrays of numbers; None where there is none."""
    for value, masked in zip(values, mask, strict=True):
        cell = None if masked is True or np.all(masked) or value is None else np.ma.asarray(value)
        if cell is not None and cell.dtype.kind not in "biufc":
            raise InputError(
                f"{where}: its cells are objects ({type(value).__name__}), which no model has; leave "
                "that column out."
            )
        yield cell
