"""Write a model to FITS.

Order: primary header, the arrays in the order of the schema, extensions that the schema does not
know, and last ``ASDF`` with the metadata that have no place in FITS. A header that was read is the
template of the one that is written: cards whose value is the same stay as they are, new ones join
the cards of their group.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.fits_cards import (
    BLOCK,
    Card,
    Header,
    format_card,
    is_representable,
    text_cards,
)
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io import asdf_objects, asdf_tree
from stpipe.models.io import checksum as checksums
from stpipe.models.io.asdf_blocks import attach_blocks
from stpipe.models.io.asdf_writer import software
from stpipe.models.io.content import Content, lookup, merge, put, remove
from stpipe.models.io.fits_reader import ASDF_EXTENSION, conforming
from stpipe.models.io.units import renumbered
from stpipe.models.schema.fields import Field
from stpipe.models.schema.schema import Schema
from stpipe.models.schema.validation import plain, read_as
from stpipe.models.storage.arrays import Array, Stored, blocks_of
from stpipe.models.storage.read_ahead import LARGE, ahead

__all__ = ["write_fits"]

_PIXELS = {"u1": 8, "i1": 8, "i2": 16, "u2": 16, "i4": 32, "u4": 32, "i8": 64, "u8": 64}
_PIXELS |= {"f4": -32, "f8": -64}
_LETTERS = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
_LETTERS |= {"c8": "C", "c16": "M", "i1": "B", "u2": "I", "u4": "J", "u8": "K"}


_LITTLE = sys.byteorder == "little"


@dataclass
class _Unit:
    """One extension about to be written; its keywords come from ``rest``, as ``schema`` has it."""

    name: str
    structure: Header
    template: Header
    size: int
    pieces: Callable[[], Iterator[Any]]
    schema: Schema | None = None
    rest: dict[str, Any] = field(default_factory=dict)


def write_fits(
    content: Content, schema: Schema, stream: BinaryIO, *, checksum: bool = False
) -> None:
    """Write everything in ``content`` (its deferred metadata included) to ``stream``.

    With ``checksum`` every unit gets CHECKSUM and DATASUM.
    """
    rest, parts = _serialised(content, schema)
    units = [_primary(content), *_arrays(content, schema), *_extras(content)]
    for unit in units:
        unit.schema, unit.rest = schema, rest
    count = len(units) + sum(len(part.units) for part in parts)
    extend = format_card("EXTEND", value=True, comment=f"{count} extensions follow")
    units[0].structure = Header(
        [*(card for card in units[0].structure if card.keyword != "EXTEND"), extend]
    )
    own = len(units) - sum(1 for unit in content.extras if unit.start)
    links = _links(content, schema, 1, [unit.name for unit in units])
    for unit in (*units[:own], *(unit for part in parts for unit in part.units), *units[own:]):
        header = Header([*unit.structure, *_metadata(unit)])
        _write(stream, header, unit, checksum=checksum)
    for part in parts:
        put(rest, part.path, [*(lookup(rest, part.path) or []), part.tree()])
    _write_tree(stream, merge(rest, links), checksum=checksum)


@dataclass
class _Part:
    """One part of a list about to be written."""

    path: str
    content: Content
    schema: Schema
    version: int
    rest: dict[str, Any]

    def __post_init__(self) -> None:
        self.units = list(_arrays(self.content, self.schema, self.version)) or [self._placeholder]
        for unit in self.units:
            unit.schema, unit.rest = self.schema, self.rest

    @property
    def _placeholder(self) -> _Unit:
        """An extension without data, so that a part without arrays has a number, too."""
        name = next(iter(self.schema.arrays.values())).hdu
        return _Unit(name, _image(name, np.dtype("u1"), (), self.version), Header(), 0, _nothing)

    def tree(self) -> dict[str, Any]:
        """What has no place in the extensions, and links to them."""
        names = [unit.name for unit in self.units]
        return merge(self.rest, _links(self.content, self.schema, self.version, names))


def _serialised(content: Content, schema: Schema) -> tuple[dict[str, Any], list[_Part]]:
    """Metadata of the model and its parts; objects that several share are stored once."""
    content.complete()
    listed = [
        (path, part, version)
        for path, contents in content.lists.items()
        for version, part in enumerate(contents, start=1)
    ]
    for _, part, _ in listed:
        part.complete()
    trees = {"model": content.tree, "parts": [part.tree for _, part, _ in listed]}
    nodes = asdf_objects.serialised(trees)
    parts = [
        _Part(path, part, schema.lists[path], version, rest)
        for (path, part, version), rest in zip(listed, nodes["parts"], strict=True)
    ]
    return nodes["model"], parts


def _primary(content: Content) -> _Unit:
    template = content.headers.get("PRIMARY", Header())
    with_data = next((unit for unit in content.extras if unit.start == 0), None)
    if with_data is not None:
        structure = Header(
            card
            for card in with_data.header
            if card.is_structural and card.keyword not in checksums.KEYWORDS
        )
        return _Unit("PRIMARY", structure, template, with_data.size, partial(_raw, with_data))
    structure = _cards(
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 0, "number of array dimensions"),
    )
    return _Unit("PRIMARY", structure, template, 0, _nothing)


def _arrays(content: Content, schema: Schema, version: int = 1) -> Iterator[_Unit]:
    for path, field_ in schema.arrays.items():
        template = content.headers.get(field_.hdu, Header())
        if path in content.arrays:
            yield _array(field_, content.arrays[path], template, version)
        elif field_.hdu in content.headers:
            # An extension without data can still hold keywords.
            structure = _image(field_.hdu, np.dtype("u1"), (), version)
            yield _Unit(field_.hdu, structure, template, 0, _nothing)


def _array(field_: Field, array: Array | Stored, template: Header, version: int) -> _Unit:
    if field_.is_table:
        table = read_as(field_, array, field_.path) if isinstance(array, Stored) else array
        structure, encoded = _table(field_.hdu, table, version)
        template = renumbered(template, array.dtype.names or (), table.dtype)
        return _Unit(
            field_.hdu, structure, template, encoded.nbytes, lambda: iter([encoded.tobytes()])
        )
    dtype = array.dtype if field_.dtype is None else field_.dtype
    size = int(np.prod(array.shape, dtype=np.int64)) * dtype.itemsize
    structure = _image(field_.hdu, dtype, array.shape, version)
    return _Unit(field_.hdu, structure, template, size, partial(_encoded, array, dtype))


def _extras(content: Content) -> Iterator[_Unit]:
    for unit in content.extras:
        if unit.start:
            # All cards are the template: structure and data are written as they are.
            name = unit.name if unit.version == 1 else ""
            yield _Unit(name, Header(), unit.header, unit.size, partial(_raw, unit))


def _nothing() -> Iterator[Any]:
    return iter(())


def _raw(unit: Hdu) -> Iterator[Any]:
    return Stored(unit.source, unit.offset, np.dtype("u1"), (unit.size,)).pieces()


def _encoded(array: Array | Stored, dtype: np.dtype[Any]) -> Iterator[Any]:
    """The bytes of an image, big-endian, a piece at a time."""
    if isinstance(array, Stored) and _is_stored_as(array, dtype):
        yield from array.pieces()
        return
    # Two buffers in turn: fresh memory for each piece would cost as much as the bytes themselves.
    buffers: deque[Array] = deque([np.empty(0, dtype)] * 2)
    for block in blocks_of(array):
        if buffers[0].size < block.size:
            buffers[0] = np.empty(block.size, dtype)
        yield _into(buffers[0][: block.size], block).data.cast("B")
        buffers.rotate()


def _is_stored_as(array: Stored, dtype: np.dtype[Any]) -> bool:
    """Whether the bytes of an array are already what FITS wants for ``dtype``."""
    if array.dtype != dtype or array.raw.byteorder not in ">|":
        return False
    # Integers that FITS offsets are of the other sign in the file; nothing else may be scaled.
    if _offset(dtype):
        return array.raw.kind != dtype.kind
    return array.decoder is None


def _into(native: Array, block: Array) -> Array:
    """The stored form of ``block`` in the memory of ``native``."""
    dtype = native.dtype
    if not _offset(dtype):
        stored: Array = native.view(dtype.newbyteorder(">"))
        np.copyto(stored, block, casting="unsafe")
        return stored
    bits = native.view(f"u{dtype.itemsize}")
    values = np.ascontiguousarray(block, dtype).view(bits.dtype)
    np.bitwise_xor(values, bits.dtype.type(1 << (8 * dtype.itemsize - 1)), out=bits)
    return bits.byteswap(inplace=True) if _LITTLE else bits


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


def _image(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], version: int = 1) -> Header:
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
        ("EXTVER", version, "extension value"),
    )


def _table(name: str, table: Array, version: int) -> tuple[Header, Array]:
    """Structure and stored rows of a binary table."""
    stored = np.empty(len(table), [_stored_column(table.dtype, n) for n in table.dtype.names or ()])
    columns: list[tuple[str, Any, str]] = []
    for number, column in enumerate(table.dtype.names or (), start=1):
        base, shape = table.dtype[column].base, table.dtype[column].shape
        values = np.ascontiguousarray(table[column])
        is_logical = base.kind == "b"
        stored[column] = np.where(values, b"T", b"F") if is_logical else _big_endian_or_text(values)
        columns += _column_cards(number, column, base, shape)
    return _table_structure(name, stored, columns, version), stored


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


def _table_structure(
    name: str, stored: Array, columns: list[tuple[str, Any, str]], version: int = 1
) -> Header:
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
        ("EXTVER", version, "extension value"),
    )


def _cards(*cards: tuple[str, Any, str]) -> Header:
    return Header(format_card(*card) for card in cards)


def _metadata(unit: _Unit) -> Header:
    """The template with the values of ``rest``; what a header can hold is removed from ``rest``."""
    header, rest, schema = Header(unit.template), unit.rest, unit.schema
    if schema is None:
        return header
    at = {card.keyword: index for index, card in reversed(list(enumerate(header)))}
    new: dict[str, list[Card]] = {}
    written: set[str] = set()
    for field_ in schema.keywords.get(unit.name, ()):
        keyword = field_.keyword or ""
        value = plain(lookup(rest, field_.path), field_.path)
        # Two attributes may share a keyword; the other one is kept in the tree.
        fits = value is not None and is_representable(value) and keyword not in written
        if fits:
            written.add(keyword)
            remove(rest, field_.path)
        if keyword in at and (fits or keyword not in written):
            header[at[keyword]] = _updated(field_, header[at[keyword]], value if fits else None)
        elif fits:
            new.setdefault(_group(field_), []).append(format_card(keyword, value, field_.title))
    kept = Header(card for card in header if card.image)
    return _with_new(kept, new, unit.name, schema)


def _updated(field_: Field, card: Card, value: object) -> Card:
    """The card with another value; without text when it has to go."""
    held = conforming(field_, {card.keyword: card})
    if value is None:
        return card if held is None else Card(card.keyword, "")
    if held == value and type(held) is type(value):
        return card
    return format_card(card.keyword, value, card.comment or field_.title)


def _with_new(header: Header, new: dict[str, list[Card]], hdu: str, schema: Schema) -> Header:
    """Insert new cards after the last one of their group, or under a heading at the end."""
    groups = {entry.keyword: _group(entry) for entry in schema.keywords.get(hdu, ())}
    last = {groups[card.keyword]: n for n, card in enumerate(header) if card.keyword in groups}
    for group in sorted(new.keys() & last.keys(), key=lambda group: -last[group]):
        header[last[group] + 1 : last[group] + 1] = new.pop(group)
    for group, cards in new.items():
        title = schema.groups.get(group, "")
        header.extend([*text_cards(["", title, ""] if title else []), *cards])
    return header


def _group(field_: Field) -> str:
    """The group of attributes under one heading: ``meta.exposure`` of ``meta.exposure.type``."""
    return ".".join(field_.path.split(".")[:-1][:2])


def _write(stream: BinaryIO, header: Header, unit: _Unit, *, checksum: bool) -> None:
    if checksum:
        header = checksums.with_checksum(header, unit.pieces())
    elif header != unit.template:
        # The checksum of an extension that is copied is valid as long as nothing changes.
        header = Header(card for card in header if card.keyword not in checksums.KEYWORDS)
    stream.write(header.to_bytes())
    stream.writelines(unit.pieces() if unit.size < LARGE else ahead(unit.pieces()))
    stream.write(bytes(-unit.size % BLOCK))


def _write_tree(stream: BinaryIO, rest: dict[str, Any], *, checksum: bool) -> None:
    """The extension ASDF: one row, one column of bytes."""
    tree: dict[str, Any] = {"asdf_library": software(), **plain(rest, "")}
    blocks = attach_blocks(tree)
    text = asdf_yaml.dump(tree)
    size = len(text) + sum(block.nbytes for block in blocks)
    structure = _table_structure(
        ASDF_EXTENSION,
        np.empty(1, [("ASDF_METADATA", "u1", (size,))]),
        [("TTYPE1", "ASDF_METADATA", ""), ("TFORM1", f"{size}B", "")],
    )

    def pieces() -> Iterator[Any]:
        yield text
        for block in blocks:
            yield from block.pieces()

    unit = _Unit(ASDF_EXTENSION, structure, Header(), size, pieces)
    _write(stream, structure, unit, checksum=checksum)


def _links(content: Content, schema: Schema, version: int, names: Sequence[str]) -> dict[str, Any]:
    """Nodes that lead from the tree to the extensions of the arrays."""
    links: dict[str, Any] = {}
    for path, field_ in schema.arrays.items():
        if field_.hdu in names and path in content.arrays:
            put(links, path, _link(field_, content.arrays[path], version))
    return links


def _link(field_: Field, array: Array | Stored, version: int) -> asdf_yaml.TaggedDict:
    dtype = array.dtype if field_.is_table or field_.dtype is None else field_.dtype
    link = {
        "source": f"fits:{field_.hdu},{version}",
        "datatype": asdf_tree.datatype(dtype, "big"),
        "byteorder": "big",
        "shape": list(array.shape),
    }
    return asdf_yaml.TaggedDict.of(f"{asdf_yaml.NDARRAY}1.1.0", link)
