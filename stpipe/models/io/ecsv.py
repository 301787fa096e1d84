"""Models that are one table, as ECSV: the text that astropy's tables are exchanged in (APE 6).

The metadata tree is the table's ``meta``. Coordinates on the sky are two columns of the model,
``name.ra`` and ``name.dec``; who reads the file with ``astropy.table.QTable`` finds a ``SkyCoord``
there, and quantities where columns have a unit. Reading a model needs no astropy.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from stpipe.errors import InputError, UsageError
from stpipe.models.formats import asdf_yaml
from stpipe.models.io import asdf_objects
from stpipe.models.io.asdf_reader import FITS_KEY
from stpipe.models.io.asdf_writer import images
from stpipe.models.io.columns import NULL, Table, null_value
from stpipe.models.io.content import Content
from stpipe.models.io.units import DESCRIPTION, UNIT, put_words, words_of
from stpipe.models.schema.fields import Field
from stpipe.models.schema.schema import Schema
from stpipe.models.schema.validation import plain
from stpipe.models.storage.arrays import Array
from stpipe.models.storage.source import Source

__all__ = ["Table", "checksum_of", "put_table", "read_ecsv", "write_ecsv"]

_ROWS, _MD5 = "_rows", "_md5"
_NONE = "0" * 32  # in the place of the sum while it is computed
# The metadata are one mapping for astropy before 7, and a list of pairs later.
_SUM = re.compile(rb"^# +(?:- \{)?_md5: '([0-9a-f]{32})'\}?$", re.MULTILINE)
_LARGEST = 1 << 28  # bytes of a column of texts, which is as wide as the longest of them
_RA, _DEC = ".ra", ".dec"

log = logging.getLogger(__name__)


def read_ecsv(source: Source) -> tuple[dict[str, Any], Table]:
    """The metadata tree and the columns of a file.

    Raises
    ------
    InputError
        When it is damaged.
    """
    import yaml

    with source.open() as stream:
        text = stream.read()
    try:
        lines = text.decode("utf-8").split("\n")  # cells may have other ends of lines
        count = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
        head = asdf_yaml.load("\n".join(line[2:] for line in lines[1:count]).encode())
        tree = dict(_untagged(head.get("meta") or {}))
        table = _table(head, "\n".join(lines[count:]), str(source.path))
        tree.pop(_MD5, None)
        _compare_rows(tree.pop(_ROWS, None), table, source)
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error, yaml.YAMLError) as error:
        is_said = type(error) is ValueError or isinstance(error, yaml.YAMLError)
        named = "" if is_said else f"{type(error).__name__}: "
        words = " ".join(f"{named}{error}".split())[:300]
        raise InputError(
            f"{source.path} is damaged: it is not a table in ECSV ({words}); download or rebuild it."
        ) from error
    return {name: value for name, value in tree.items() if not name.startswith("__")}, table


def put_table(content: Content, schema: Schema, table: Table) -> None:
    """Make the columns the table of a model, when models of `schema` have one."""
    for path, field in schema.arrays.items():
        content.arrays[path] = table.values
        put_words(content, field, UNIT, table.units)
        put_words(content, field, DESCRIPTION, table.descriptions)
        put_words(content, field, NULL, table.nulls)


def checksum_of(text: bytes) -> tuple[str, str]:
    """The MD5 sum that a file has, empty without one, and the one that it should have."""
    found = _SUM.search(text)
    if found is None:
        return "", ""
    blank = _with_sum(text, _NONE)
    return found[1].decode(), hashlib.md5(blank, usedforsecurity=False).hexdigest()


def _with_sum(text: bytes, wanted: str) -> bytes:
    """The text with another sum in the place of the one that it has."""
    found = _SUM.search(text)
    return text[: found.start(1)] + wanted.encode() + text[found.end(1) :] if found else text


def write_ecsv(
    content: Content, schema: Schema, stream: BinaryIO, *, checksum: bool = False
) -> None:
    """Write metadata and table; a model without a table gives a file without columns.

    With ``checksum`` the metadata have the MD5 sum of the text.

    Raises
    ------
    UsageError
        When there is something that such a file has no place for.
    """
    from astropy.table import QTable

    content.complete()
    if content.extras:
        raise UsageError(
            f"the extension {content.extras[0].name} has no place in ECSV; write a .fits file."
        )
    table = QTable(meta=_metadata(content, schema))
    for path, field in schema.arrays.items():
        if path in content.arrays:
            values = content.arrays[path]
            table.meta[_ROWS] = int(values.shape[0])
            _fill(table, values, field, content)
    if checksum:
        table.meta[_MD5] = _NONE
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    encoded = text.getvalue().encode()
    stream.write(_with_sum(encoded, checksum_of(encoded)[1]))


# --- reading ---------------------------------------------------------------------------------------


def _table(head: Mapping[str, Any], text: str, where: str) -> Table:
    """The columns: plain ones are read here, whatever is unusual by astropy."""
    columns = head.get("datatype")
    known = [c for c in columns if isinstance(c, Mapping)] if isinstance(columns, list) else []
    if columns != known or not all("name" in c and "datatype" in c for c in known):
        raise ValueError("its header does not say name and datatype of every column")
    try:
        return _plain_table(head, text)
    except (ValueError, csv.Error) as problem:
        from stpipe.models.io.ecsv_astropy import by_astropy

        try:
            table = by_astropy(head, text, where)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - neither can read it, and one of them says why
            words = " ".join(str(error).split())
            raise ValueError(f"{problem}; astropy: {words:.200}") from None
        columns = head["datatype"]
        return replace(
            table, units=_words(columns, "unit"), descriptions=_words(columns, "description")
        )


def _plain_table(head: Mapping[str, Any], text: str) -> Table:
    columns = head["datatype"]
    names = [column["name"] for column in columns]
    lines = io.StringIO(text, newline="")
    rows = [row for row in csv.reader(lines, delimiter=head.get("delimiter", " ")) if row]
    if rows[:1] != ([names] if names else []):
        raise ValueError("names of columns do not agree")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} of {len(names)} cells")
    cells = list(zip(*rows[1:], strict=True)) or [()] * len(names)
    read = [_checked(column, cell) for column, cell in zip(columns, cells, strict=True)]
    values = np.empty(len(rows[1:]), [(n, r.dtype) for n, r in zip(names, read, strict=True)])
    for name, column in zip(names, read, strict=True):
        values[name] = column
    return Table(values, _words(columns, "unit"), _words(columns, "description"))


def _compare_rows(count: object, table: Table, source: Source) -> None:
    """Say that rows were added or taken out, as users do with catalogues."""
    if count is not None and count != len(table.values):
        log.warning(
            "%s: it has %d rows and had %s when it was written",
            source.path,
            len(table.values),
            count,
        )


def _checked(column: Mapping[str, Any], cells: Iterable[str]) -> Array:
    """The values of a column."""
    name, kind = column["name"], column["datatype"]
    if "subtype" in column:
        raise ValueError(f"the cells of {name} are arrays")
    try:
        return _column(kind, cells)
    except (ValueError, LookupError, OverflowError, TypeError) as error:
        raise ValueError(f"a cell of {name} is not of the type {kind}") from error


def _column(kind: str, cells: Iterable[str]) -> Array:
    """The values of cells; one without a value is not a number."""
    if kind == "string":
        texts = [cell.encode() for cell in cells]
        if len(texts) * max(map(len, texts), default=0) > _LARGEST:
            raise ValueError("one text is much longer than the others")
        return np.array(texts, dtype="S")
    if kind == "bool":
        return np.array([{"True": True, "False": False}[cell] for cell in cells], dtype=bool)
    dtype = np.dtype(str(kind))
    if dtype.kind not in "iufc":
        raise ValueError(f"{kind} is neither text nor a number")
    return np.array([cell or "nan" for cell in cells], dtype=str).astype(dtype)


def _words(columns: Iterable[Mapping[str, Any]], key: str) -> dict[str, str]:
    return {column["name"]: str(column[key]) for column in columns if key in column}


def _untagged(node: object) -> Any:
    """Plain values: what astropy tags are objects of its own, which no model has."""
    if isinstance(node, Mapping):
        return {str(name): _untagged(value) for name, value in node.items()}
    if isinstance(node, asdf_yaml.TaggedList) and node.tag == asdf_yaml.ORDERED:
        return {str(name): _untagged(value) for pair in node for name, value in pair.items()}
    if isinstance(node, list):
        return [_untagged(value) for value in node]
    return str(node) if isinstance(node, asdf_yaml.Tagged) else node


# --- writing ---------------------------------------------------------------------------------------


def _metadata(content: Content, schema: Schema) -> dict[str, Any]:
    """The tree, and headers of FITS beyond it; that of the table are its columns."""
    tree: dict[str, Any] = _untagged(plain(asdf_objects.serialised(content.tree), ""))
    own = {field.hdu for field in schema.arrays.values()}
    headers = {name: images(h) for name, h in content.headers.items() if h and name not in own}
    return {**tree, FITS_KEY: {"headers": headers}} if headers else tree


def _fill(table: Any, values: Any, field: Field, content: Content) -> None:
    array = values if isinstance(values, np.ndarray) else values.read()
    units = words_of(content, field, UNIT)
    descriptions = words_of(content, field, DESCRIPTION)
    nulls = words_of(content, field, NULL)
    for name, flat, column in _mixins(array, units, nulls):
        table[name] = column
        table[name].info.description = descriptions.get(flat)


def _mixins(
    array: Array, units: Mapping[str, str], nulls: Mapping[str, str]
) -> Iterator[tuple[str, str, Any]]:
    """Columns as astropy has them: the name, that of the model's first column, and the values."""
    from astropy.coordinates import SkyCoord

    names = array.dtype.names or ()
    for name in names:
        stem = name.removesuffix(_RA)
        if name.endswith(_RA) and stem + _DEC in names:
            yield stem, name, SkyCoord(array[name], array[stem + _DEC], unit="deg")
        elif not (name.endswith(_DEC) and name.removesuffix(_DEC) + _RA in names):
            yield name, name, _column_of(array[name], units.get(name), nulls.get(name))


def _column_of(column: Array, unit: str | None, null: str | None) -> Any:
    from astropy import units as u
    from astropy.table import MaskedColumn
    from astropy.utils.masked import Masked

    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8")
    # Units that astropy does not know stay words, and integers stay integers.
    known = None if unit is None else u.Unit(unit, parse_strict="silent")
    none = null_value(column.dtype, null) if column.dtype.kind in "iu" and null else None
    mask = column == none if none is not None else None
    if known is None:
        return column if mask is None else MaskedColumn(column, mask=mask)
    quantity = u.Quantity(column, known, dtype=column.dtype)
    return quantity if mask is None else Masked(quantity, mask=mask)
