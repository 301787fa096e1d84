"""What stands in an ASDF tree where a model has an array: arrays, and what the asdf library knows.

Plain arrays and quantities stay in their blocks. Masked arrays, tables of astropy and whatever else is
an array to its package become one with the asdf library, when there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.fits_cards import Header, format_card, is_representable
from stpipe.models.io import asdf_objects
from stpipe.models.io.asdf_tree import is_plain, stored_array
from stpipe.models.io.columns import NULL, Table, plain_table, without_mask
from stpipe.models.io.content import Content, lookup, put
from stpipe.models.io.units import DESCRIPTION, UNIT, put_words
from stpipe.models.schema.fields import Field
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Array, Stored
from stpipe.models.storage.source import Source

__all__ = ["Value", "put_units", "value_of"]

_QUANTITY = "unit/quantity-"
_BUNIT = "BUNIT"


class Value(NamedTuple):
    """An array with its unit, or a table with those of its columns."""

    array: Array | Stored
    unit: str = ""
    table: Table | None = None


def value_of(node: object, path: str, source: Source) -> Value | None:
    """The array at ``path``; None without a node.

    Raises
    ------
    InputError
        When the description is incomplete, contradicts the block, or is of no array.
    """
    if isinstance(node, Mapping) and "$ref" in node:
        raise InputError(
            f"{source.path}: {path} refers to {node['$ref']!r}; let asdf bring it in: "
            "resolve_references() of the opened file, then write it."
        )
    if isinstance(node, asdf_yaml.TaggedDict) and _QUANTITY in node.tag and _holds_plain(node):
        array = stored_array(node["value"], source)
        return None if array is None else Value(array, str(node["unit"]))
    if isinstance(node, asdf_yaml.Tagged) and not (is_plain(node) or _is_text(node)):
        return _by_library(asdf_objects.revived(node, path, source), f"{source.path}: {path}")
    array = stored_array(node, source)
    return None if array is None else Value(array)


def _is_text(node: asdf_yaml.Tagged) -> bool:
    """Whether a node says that it is an array and is no more than a text."""
    return node.is_ndarray and isinstance(node, str)


def _holds_plain(node: asdf_yaml.TaggedDict) -> bool:
    return (
        "unit" in node
        and isinstance(node.get("value"), asdf_yaml.Tagged)
        and is_plain(node["value"])
    )


def _by_library(found: Any, where: str) -> Value:
    """An object of the asdf library as an array."""
    if hasattr(found, "colnames"):
        table = plain_table(found, where)
        return Value(table.values, table=table)
    values = _with_mask(found)
    if values.dtype.kind == "O" or not values.ndim:
        raise InputError(f"{where} is a {type(found).__name__}; allowed is an array or a table.")
    unit = str(getattr(found, "unit", None) or "")
    if values.dtype.kind in "fc":
        return Value(without_mask(values, where)[0], unit)
    if np.ma.getmaskarray(values).tobytes().strip(b"\0"):
        raise InputError(
            f"{where} has masked values of {values.dtype}, which cannot be NaN; say what they are: "
            "array.filled(...)."
        )
    return Value(np.ma.getdata(values), unit)


def _with_mask(found: Any) -> Any:
    """The values of an array, a quantity, or what either is with a mask in astropy."""
    values = found.value if hasattr(found, "to_value") else found
    if isinstance(values, np.ma.MaskedArray):
        return values
    bare = np.asarray(getattr(values, "unmasked", values))
    mask = getattr(found, "mask", None)
    return bare if mask is None else np.ma.MaskedArray(bare, np.asarray(mask))


def put_units(content: Content, schema: Schema, path: str, value: Value) -> None:
    """Keep the unit of an array, or those of a table's columns, where models have units.

    Raises
    ------
    InputError
        When the metadata name another unit than the array has.
    """
    field = schema.arrays[path]
    if value.table is not None:
        put_words(content, field, UNIT, value.table.units)
        put_words(content, field, DESCRIPTION, value.table.descriptions)
        put_words(content, field, NULL, value.table.nulls)
    elif value.unit:
        _put_unit(content, schema, field, value.unit)


def _put_unit(content: Content, schema: Schema, field: Field, unit: str) -> None:
    """The unit of an image is the keyword BUNIT of its extension."""
    known = (f for f in schema.keywords.get(field.hdu, ()) if f.keyword == _BUNIT)
    place = next(known, None)
    header = content.headers.get(field.hdu, Header())
    before = header.get(_BUNIT) if place is None else lookup(content.tree, place.path)
    if before and not _are_equal(str(before), unit):
        where = content.source.path if content.source else "the tree"
        raise InputError(
            f"{where}: {field.path} has the unit {unit}, and {place.path if place else _BUNIT} says "
            f"{before}; correct one of them."
        )
    words = _words(unit)
    if before or not is_representable(words):
        return
    if place is not None:
        put(content.tree, place.path, words)
    else:
        card = format_card(_BUNIT, words, "")
        content.headers[field.hdu] = Header([*(c for c in header if c.keyword != _BUNIT), card])


def _unit(text: str) -> Any:
    from astropy import units as u

    try:
        return u.Unit(text, format="vounit")
    except ValueError:
        return u.Unit(text, parse_strict="silent")


def _are_equal(one: str, other: str) -> bool:
    return one == other or bool(_unit(one) == _unit(other))


def _words(unit: str) -> str:
    """A unit as products of the archive have it: MJy/sr."""
    return str(_unit(unit).to_string()).replace(" / ", "/")
