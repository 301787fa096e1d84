"""Read a model from an ASDF file; arrays stay in their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stpipe.models.formats.fits_cards import (
    Card,
    Header,
    format_card,
    is_representable,
    parse_header,
)
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io import asdf_tree
from stpipe.models.io.asdf_blocks import read_text, unpacked
from stpipe.models.io.asdf_values import Value, put_units, value_of
from stpipe.models.io.content import Content, lookup, remove
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.source import Source

__all__ = ["FITS_KEY", "read_tree", "sort_tree"]

FITS_KEY = "_fits"
"""Where a tree keeps what a FITS file held beyond the schema: headers and extensions."""


def read_tree(source: Source) -> dict[str, Any]:
    """The tree of an ASDF file, its arrays tied to blocks that are not read."""
    text = read_text(source)
    return asdf_tree.parse(source, text, len(text), source.size)


def sort_tree(source: Source, tree: dict[str, Any], schema: Schema) -> Content:
    """Sort a tree into what the schema knows as arrays, what FITS held, and metadata."""
    tree.pop("asdf_library", None)
    fits = tree.pop(FITS_KEY, {})
    content = Content(source, tree)
    found: dict[str, Value] = {}
    for path in schema.arrays:
        value = value_of(lookup(tree, path), path, source)
        if value is not None:
            content.arrays[path] = value.array
            found[path] = value
            remove(tree, path)
    for path, part in schema.lists.items():
        trees = lookup(tree, path) or []
        content.lists[path] = [sort_tree(source, dict(each), part) for each in trees]
        remove(tree, path)
    headers = fits.get("headers", {})
    content.headers = {
        name: Header(_cards(cards)) for name, cards in asdf_tree.pop_extra_headers(tree).items()
    } | {name: _header(images) for name, images in headers.items()}
    content.extras = [_extra(unit) for unit in fits.get("extensions", [])]
    for path, value in found.items():
        put_units(content, schema, path, value)
    return content


def _header(images: list[str]) -> Header:
    return parse_header("".join(f"{image:<{-(-len(image) // 80) * 80 or 80}}" for image in images))


def _cards(cards: list[Any]) -> Iterator[Card]:
    for keyword, value, comment in cards:
        if keyword in ("COMMENT", "HISTORY", ""):
            yield Card(keyword, f"{keyword:<8}{value!s:<72.72}")
        elif is_representable(value) and len(keyword) <= 8:  # noqa: PLR2004 - FITS standard 4.1.2
            yield format_card(keyword, value, comment or "")


def _extra(unit: dict[str, Any]) -> Hdu:
    block = unit["data"].block
    header = _header(unit["header"])
    source, offset, size = unpacked(block)
    found = Hdu(source, header, 0 if header.find("SIMPLE") else block.start, offset)
    if found.size > size:
        raise ValueError(f"extension {found.name} has {size} of {found.size} bytes")
    return found
