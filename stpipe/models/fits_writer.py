"""Write a model to FITS.

Order: primary header, the arrays in the order of the schema, extensions that the schema does not
know, and last ``ASDF`` with the metadata that have no place in FITS. A header that was read is the
template of the one that is written: cards whose value is the same stay as they are, new ones join
the cards of their group.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from stpipe.models import asdf_tree, tagged
from stpipe.models.arrays import Array, Stored, blocks_of
from stpipe.models.asdf_writer import attach_blocks, software
from stpipe.models.cards import BLOCK, Card, Header, format_card, is_representable, text_cards
from stpipe.models.content import Content, lookup, put, remove
from stpipe.models.fits_reader import ASDF_EXTENSION, conforming
from stpipe.models.hdus import Hdu
from stpipe.models.schema import Field, Schema
from stpipe.models.validation import plain, read_as

__all__ = ["write_fits"]

_PIXELS = {"u1": 8, "i1": 8, "i2": 16, "u2": 16, "i4": 32, "u4": 32, "i8": 64, "u8": 64}
_PIXELS |= {"f4": -32, "f8": -64}
_LETTERS = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
_LETTERS |= {"c8": "C", "c16": "M", "i1": "B", "u2": "I", "u4": "J", "u8": "K"}


@dataclass
class _Unit:
    """One extension about to be written."""

    name: str
    structure: Header
    template: Header
    size: int
    pieces: Iterator[Any]


def write_fits(content: Content, schema: Schema, stream: BinaryIO) -> None:
    """Write everything in ``content`` (its deferred metadata included) to ``stream``."""
    content.complete()
    units = [_primary(content), *_arrays(content, schema), *_extras(content)]
    rest = copy.deepcopy(content.tree)
    for unit in units:
        header = Header([*unit.structure, *_metadata(unit, schema, rest)])
        _write(stream, header, unit.size, unit.pieces)
    _write_tree(stream, rest, [unit.name for unit in units], content, schema)


def _primary(content: Content) -> _Unit:
    template = content.headers.get("PRIMARY", Header())
    with_data = next((unit for unit in content.extras if unit.start == 0), None)
    if with_data is not None:
        structure = Header(card for card in with_data.header if card.is_structural)
        return _Unit("PRIMARY", structure, template, with_data.size, _raw(with_data))
    structure = _cards(
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 0, "number of array dimensions"),
        ("EXTEND", True, ""),
    )
    return _Unit("PRIMARY", structure, template, 0, iter(()))


def _arrays(content: Content, schema: Schema) -> Iterator[_Unit]:
    for path, field in schema.arrays.items():
        template = content.headers.get(field.hdu, Header())
        if path in content.arrays:
            yield _array(field, content.arrays[path], template)
        elif field.hdu in content.headers:
            # An extension without data can still hold keywords.
            structure = _image(field.hdu, np.dtype("u1"), ())
            yield _Unit(field.hdu, structure, template, 0, iter(()))


def _array(field: Field, array: Array | Stored, template: Header) -> _Unit:
    if field.is_table:
        table = read_as(field, array, field.path) if isinstance(array, Stored) else array
        structure, encoded = _table(field.hdu, table)
        if _columns_of(template) not in (0, len(table.dtype.names or ())):
            template = Header(card for card in template if not card.keyword.startswith("TUNIT"))
        return _Unit(field.hdu, structure, template, encoded.nbytes, iter([encoded.tobytes()]))
    dtype = array.dtype if field.dtype is None else field.dtype
    size = int(np.prod(array.shape, dtype=np.int64)) * dtype.itemsize
    structure = _image(field.hdu, dtype, array.shape)
    return _Unit(field.hdu, structure, template, size, _encoded(array, dtype))


def _extras(content: Content) -> Iterator[_Unit]:
    for unit in content.extras:
        if unit.start:
            # All cards are the template: structure and data are written as they are.
            structure, rest = Header(), unit.header
            yield _Unit(
                unit.name if unit.version == 1 else "", structure, rest, unit.size, _raw(unit)
            )


def _raw(unit: Hdu) -> Iterator[Any]:
    return Stored(unit.source, unit.offset, np.dtype("u1"), (unit.size,)).pieces()


def _encoded(array: Array | Stored, dtype: np.dtype[Any]) -> Iterator[Any]:
    """The bytes of an image, big-endian, a piece at a time."""
    if isinstance(array, Stored) and array.dtype == dtype and array.raw.byteorder in ">|":
        yield from array.pieces()
        return
    for block in blocks_of(array):
        yield _big_endian(block, dtype).data.cast("B")


def _big_endian(block: Array, dtype: np.dtype[Any]) -> Array:
    """Stored form of native values; unsigned integers are offset by half their range."""
    offset = _offset(dtype)
    if not offset:
        return np.ascontiguousarray(block, dtype.newbyteorder(">"))
    bits: Array = np.ascontiguousarray(block, dtype).view(f"u{dtype.itemsize}")
    flipped = bits ^ bits.dtype.type(1 << (8 * dtype.itemsize - 1))
    return np.asarray(flipped, flipped.dtype.newbyteorder(">"))


def _offset(dtype: np.dtype[Any]) -> int:
    if dtype == np.int8:
        return -128
    unsigned = dtype.kind == "u" and dtype.itemsize > 1
    return 1 << (8 * dtype.itemsize - 1) if unsigned else 0


def _image(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Header:
    axes = [(f"NAXIS{n}", size, "") for n, size in enumerate(reversed(shape), start=1)]
    offset = _offset(dtype)
    scaling = [("BSCALE", 1, ""), ("BZERO", offset, "")] if offset else []
    return _cards(
        ("XTENSION", "IMAGE", "Image extension"),
        ("BITPIX", _PIXELS[dtype.str[1:]], "array data type"),
        ("NAXIS", len(shape), "number of array dimensions"),
        *axes,
        ("PCOUNT", 0, "number of parameters"),
        ("GCOUNT", 1, "number of groups"),
        *scaling,
        ("EXTNAME", name, "extension name"),
        ("EXTVER", 1, "extension value"),
    )


def _table(name: str, table: Array) -> tuple[Header, Array]:
    """Structure and stored rows of a binary table."""
    stored = np.empty(len(table), [_stored_column(table.dtype, n) for n in table.dtype.names or ()])
    columns: list[tuple[str, Any, str]] = []
    for number, column in enumerate(table.dtype.names or (), start=1):
        base, shape = table.dtype[column].base, table.dtype[column].shape
        values = np.ascontiguousarray(table[column])
        is_logical = base.kind == "b"
        stored[column] = np.where(values, b"T", b"F") if is_logical else _big_endian_or_text(values)
        columns += _column_cards(number, column, base, shape)
    return _table_structure(name, stored, columns), stored


def _big_endian_or_text(values: Array) -> Array:
    return values if values.dtype.kind == "S" else _big_endian(values, values.dtype)


def _stored_column(dtype: np.dtype[Any], name: str) -> tuple[str, Any, tuple[int, ...]]:
    base, shape = dtype[name].base, dtype[name].shape
    if base.kind == "b":
        return (name, "S1", shape)
    kind = f"u{base.itemsize}" if _offset(base) else base
    return (name, np.dtype(kind).newbyteorder(">"), shape)


def _column_cards(
    number: int, name: str, base: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[tuple[str, Any, str]]:
    count = int(np.prod(shape, dtype=np.int64))
    text = base.kind == "S"
    letter = "A" if text else _LETTERS[base.str[1:]]
    repeat = count * base.itemsize if text else count
    yield f"TTYPE{number}", name, ""
    yield f"TFORM{number}", f"{repeat if repeat != 1 or text else ''}{letter}", ""
    if shape and (len(shape) > 1 or text):
        axes = [*reversed(shape)]
        yield f"TDIM{number}", str(tuple([base.itemsize, *axes] if text else axes)), ""
    if offset := _offset(base):
        yield f"TSCAL{number}", 1, ""
        yield f"TZERO{number}", offset, ""


def _table_structure(name: str, stored: Array, columns: list[tuple[str, Any, str]]) -> Header:
    return _cards(
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", stored.dtype.itemsize, "length of dimension 1"),
        ("NAXIS2", len(stored), "length of dimension 2"),
        ("PCOUNT", 0, "number of group parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("TFIELDS", len(stored.dtype.names or ()), "number of table fields"),
        *columns,
        ("EXTNAME", name, "extension name"),
        ("EXTVER", 1, "extension value"),
    )


def _columns_of(template: Header) -> int:
    return sum(card.keyword.startswith("TUNIT") for card in template)


def _cards(*cards: tuple[str, Any, str]) -> Header:
    return Header(format_card(*card) for card in cards)


def _metadata(unit: _Unit, schema: Schema, rest: dict[str, Any]) -> Header:
    """The template with the values of ``rest``; what a header can hold is removed from ``rest``."""
    header = Header(unit.template)
    at = {card.keyword: index for index, card in reversed(list(enumerate(header)))}
    new: dict[str, list[Card]] = {}
    for field in schema.keywords.get(unit.name, ()):
        keyword = field.keyword or ""
        value = plain(lookup(rest, field.path), field.path)
        fits = value is not None and is_representable(value)
        if fits:
            remove(rest, field.path)
        if keyword in at:
            header[at[keyword]] = _updated(field, header[at[keyword]], value if fits else None)
        elif fits:
            new.setdefault(_group(field), []).append(format_card(keyword, value, field.title))
    kept = Header(card for card in header if card.image)
    return _with_new(kept, new, unit.name, schema)


def _updated(field: Field, card: Card, value: Any) -> Card:
    """The card with another value; without text when it has to go."""
    held = conforming(field, {card.keyword: card})
    if value is None:
        return card if held is None else Card(card.keyword, "")
    if held == value and type(held) is type(value):
        return card
    return format_card(card.keyword, value, card.comment or field.title)


def _with_new(header: Header, new: dict[str, list[Card]], hdu: str, schema: Schema) -> Header:
    """Insert new cards after the last one of their group, or under a heading at the end."""
    groups = {field.keyword: _group(field) for field in schema.keywords.get(hdu, ())}
    last = {groups[card.keyword]: n for n, card in enumerate(header) if card.keyword in groups}
    for group in sorted(new.keys() & last.keys(), key=lambda group: -last[group]):
        header[last[group] + 1 : last[group] + 1] = new.pop(group)
    for group, cards in new.items():
        title = schema.groups.get(group, "")
        header.extend([*text_cards(["", title, ""] if title else []), *cards])
    return header


def _group(field: Field) -> str:
    """The group of attributes under one heading: ``meta.exposure`` of ``meta.exposure.type``."""
    return ".".join(field.path.split(".")[:-1][:2])


def _write(stream: BinaryIO, header: Header, size: int, pieces: Iterator[Any]) -> None:
    stream.write(header.to_bytes())
    stream.writelines(pieces)
    stream.write(bytes(-size % BLOCK))


def _write_tree(
    stream: BinaryIO, rest: dict[str, Any], names: Sequence[str], content: Content, schema: Schema
) -> None:
    """The extension ASDF: one row, one column of bytes."""
    tree: dict[str, Any] = {"asdf_library": software(), **plain(rest, "")}
    for path, field in schema.arrays.items():
        if field.hdu in names and path in content.arrays:
            put(tree, path, _link(field, content.arrays[path]))
    blocks = attach_blocks(tree)
    text = tagged.dump(tree)
    size = len(text) + sum(block.nbytes for block in blocks)
    structure = _table_structure(
        ASDF_EXTENSION,
        np.empty(1, [("ASDF_METADATA", "u1", (size,))]),
        [("TTYPE1", "ASDF_METADATA", ""), ("TFORM1", f"{size}B", "")],
    )
    pieces = (piece for block in blocks for piece in block.pieces())
    _write(stream, structure, size, iter([text, *pieces]))


def _link(field: Field, array: Array | Stored) -> tagged.TaggedDict:
    dtype = array.dtype if field.is_table or field.dtype is None else field.dtype
    link = {
        "source": f"fits:{field.hdu},1",
        "datatype": asdf_tree.datatype(dtype, "big"),
        "byteorder": "big",
        "shape": list(array.shape),
    }
    return tagged.TaggedDict.of(f"{tagged.NDARRAY}1.1.0", link)
