"""Read a model from FITS: metadata from the headers, arrays left in the file."""

from __future__ import annotations

import logging
from typing import Any

from stpipe.models import asdf_tree
from stpipe.models.arrays import Source
from stpipe.models.cards import Card
from stpipe.models.content import Content, put
from stpipe.models.hdus import Hdu
from stpipe.models.schema import Field, Schema
from stpipe.models.validation import from_header

__all__ = ["ASDF_EXTENSION", "conforming", "read_fits"]

ASDF_EXTENSION = "ASDF"
# Written for "unknown" where a number or truth value should stand; no reason to warn.
_PLACEHOLDERS = ("", "N/A", "NONE", "#TODO", "UNKNOWN", "UNDEFINED")

log = logging.getLogger(__name__)


def read_fits(source: Source, units: list[Hdu], schema: Schema) -> Content:
    """Sort what a FITS file holds into what the schema knows and the rest."""
    content = Content(source)
    homes = {field.hdu: path for path, field in schema.arrays.items()}
    for unit in units:
        if unit.name == ASDF_EXTENSION:
            content.deferred = asdf_tree.in_fits(unit)
        elif unit.name in content.headers or not (unit.start == 0 or unit.name in homes):
            content.extras.append(unit)
            _metadata(content, unit, schema)
        else:
            content.headers[unit.name] = unit.header.without_structure()
            _metadata(content, unit, schema)
            if unit.start == 0 and unit.has_data:
                content.extras.append(unit)
            if unit.has_data and unit.name in homes:
                content.arrays[homes[unit.name]] = unit.data()
    return content


def _metadata(content: Content, unit: Hdu, schema: Schema) -> None:
    fields = schema.keywords.get(unit.name) if unit.version == 1 else None
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
