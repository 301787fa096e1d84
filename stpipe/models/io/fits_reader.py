"""Read a model from FITS: metadata from the headers, arrays left in the file."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from stpipe.errors import InputError
from stpipe.models.formats.fits_cards import Card
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.formats.fits_variable import rectangular
from stpipe.models.io import asdf_tree
from stpipe.models.io.content import Content, lookup, put
from stpipe.models.schema.fields import Field
from stpipe.models.schema.schema import Schema
from stpipe.models.schema.validation import cast_array, from_header
from stpipe.models.storage.arrays import Array, Stored
from stpipe.models.storage.late import Shelf
from stpipe.models.storage.source import Source

__all__ = ["ASDF_EXTENSION", "conforming", "read_fits", "tree_of"]

ASDF_EXTENSION = "ASDF"
# Written for "unknown" in place of a number or truth value; no reason to warn.
_PLACEHOLDERS = ("", "N/A", "NONE", "#TODO", "UNKNOWN", "UNDEFINED")

log = logging.getLogger(__name__)


def read_fits(source: Source, units: list[Hdu], schema: Schema) -> Content:
    """Sort what a FITS file holds into what the schema knows and the rest."""
    content = Content(source)
    parts, rest = _split(units, schema)
    shelf = Shelf(source.path)
    _sort(content, rest, shelf, schema, 1)
    for path, members in parts.items():
        content.lists[path] = [Content(source) for _ in range(max(members))]
        for version, part in enumerate(content.lists[path], start=1):
            _sort(part, members.get(version, []), shelf, schema.lists[path], version)
    if content.deferred is not None:
        content.deferred = replace(content.deferred, lists=tuple(schema.lists))
        content.defer_parts()
    return content


def tree_of(units: list[Hdu], path: str) -> dict[str, Any]:
    """The metadata tree of the extension ASDF, when it may hold ``path``."""
    unit = next((unit for unit in units if unit.name == ASDF_EXTENSION), None)
    deferred = asdf_tree.in_fits(unit) if unit else None
    return deferred.load() if deferred and deferred.mentions(path) else {}


def _split(units: list[Hdu], schema: Schema) -> tuple[dict[str, dict[int, list[Hdu]]], list[Hdu]]:
    """The units of every part of every list, and those that belong to no list."""
    homes = {f.hdu: path for path, part in schema.lists.items() for f in part.arrays.values()}
    if not homes:
        return {}, units
    parts: dict[str, dict[int, list[Hdu]]] = {}
    for unit in units:
        if unit.name in homes:
            parts.setdefault(homes[unit.name], {}).setdefault(unit.version, []).append(unit)
    # Parts are numbered without gaps, but for parts without arrays that the tree of other software
    # has; whatever else has such a name is not ours to understand.
    numbered = {
        p: found for p, found in parts.items() if _are_all(found) or _listed(units, p, found)
    }
    rest = [unit for unit in units if homes.get(unit.name) not in numbered]
    return numbered, rest


def _are_all(numbers: Collection[int]) -> bool:
    return sorted(numbers) == [*range(1, len(numbers) + 1)]


def _listed(units: list[Hdu], path: str, numbers: Collection[int]) -> bool:
    """Whether the metadata tree has a list with all these parts."""
    there = lookup(tree_of(units, path), path)
    return isinstance(there, list) and min(numbers) > 0 and max(numbers) <= len(there)


def _sort(content: Content, units: list[Hdu], shelf: Shelf, schema: Schema, version: int) -> None:
    homes = {field.hdu: path for path, field in schema.arrays.items()}
    for unit in units:
        if unit.name == ASDF_EXTENSION:
            _check_plain(unit)
            content.deferred = asdf_tree.in_fits(unit)
        elif unit.name in content.headers or not (unit.start == 0 or unit.name in homes):
            content.extras.append(unit)
            _metadata(content, unit, schema, version)
        else:
            content.headers[unit.name] = unit.metadata
            _metadata(content, unit, schema, version)
            if unit.start == 0 and unit.has_data:
                content.extras.append(unit)
            if unit.has_data and unit.name in homes:
                path = homes[unit.name]
                content.arrays[path] = _array_of(unit, schema.arrays[path], shelf)


def _array_of(unit: Hdu, field: Field, shelf: Shelf) -> Array | Stored:
    """The data of an extension: plain ones stay in the file, others become plain when touched."""
    if unit.is_plain:
        return unit.data()
    _check_plain(unit)
    if unit.is_variable:
        return rectangular(unit, shelf)
    from stpipe.models.io import fits_astropy

    if unit.is_compressed:
        return fits_astropy.unpacked_image(unit, shelf)
    return cast_array(field, fits_astropy.text_table(unit), str(unit))


def _check_plain(unit: Hdu) -> None:
    """Refuse what neither we nor astropy can read."""
    if unit.is_compressed_table:
        raise InputError(f"{unit}: the table is compressed by tiles; unpack the file with funpack.")


def _metadata(content: Content, unit: Hdu, schema: Schema, version: int) -> None:
    fields = schema.keywords.get(unit.name) if unit.version == version else None
    if not fields:
        return
    cards = unit.header.by_keyword()
    for field in fields:
        if field.keyword in cards:
            value = conforming(field, cards, unit)
            if value is not None:
                put(content.tree, field.path, value)


def conforming(field: Field, cards: dict[str, Card], unit: Hdu | None = None) -> Any:
    """Value of the field's card as the schema wants it; None when the card does not conform.

    Such a card is treated like an unknown keyword: it stays in the header as it is.
    """
    card = cards[field.keyword or ""]
    raw = card.value
    value = from_header(field, raw, card.token)
    if value is None and unit is not None and str(raw or "").upper() not in _PLACEHOLDERS:
        log.warning(
            "%s: %s = %r does not conform to the schema; %s stays unset",
            unit, field.keyword, raw, field.path,
        )  # fmt: skip
    return value
