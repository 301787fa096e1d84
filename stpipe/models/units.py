"""Units of the columns of tables: the keywords TUNIT of their extension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stpipe.models.cards import Header, format_card
from stpipe.models.content import Content
from stpipe.models.schema import Field

__all__ = ["put_units", "renumbered", "units_of"]

_KEYWORD = "TUNIT"


def units_of(content: Content, field: Field) -> dict[str, str]:
    """The unit of each column that has one."""
    return _units(content.headers.get(field.hdu, Header()), _columns(content, field))


def put_units(content: Content, field: Field, units: Mapping[str, str]) -> None:
    """Give columns their units; other units that the table had are dropped."""
    header = content.headers.get(field.hdu, Header())
    content.headers[field.hdu] = _with_units(header, _columns(content, field), units)


def renumbered(header: Header, before: Sequence[str], after: Sequence[str]) -> Header:
    """A header of columns `before`, with their units at the places of the columns `after`."""
    if tuple(before) == tuple(after):
        return header
    named = {name.upper(): unit for name, unit in _units(header, before).items()}
    units = {name: named[name.upper()] for name in after if name.upper() in named}
    return _with_units(header, after, units)


def _units(header: Header, columns: Sequence[str]) -> dict[str, str]:
    found = {card.keyword: card.value for card in header if card.keyword.startswith(_KEYWORD)}
    numbered = {f"{_KEYWORD}{n}": name for n, name in enumerate(columns, 1)}
    return {numbered[keyword]: str(unit) for keyword, unit in found.items() if keyword in numbered}


def _with_units(header: Header, columns: Sequence[str], units: Mapping[str, str]) -> Header:
    cards = [
        format_card(f"{_KEYWORD}{number}", units[name], "")
        for number, name in enumerate(columns, 1)
        if name in units
    ]
    others = [card for card in header if not card.keyword.startswith(_KEYWORD)]
    return Header([*cards, *others])


def _columns(content: Content, field: Field) -> tuple[str, ...]:
    array = content.arrays.get(field.path)
    return () if array is None else tuple(array.dtype.names or ())
