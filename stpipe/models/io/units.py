"""Units and descriptions of the columns of tables: the keywords TUNIT and TCOMM of their extension."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stpipe.errors import did_you_mean
from stpipe.models.formats.fits_cards import Card, Header, format_card, is_representable
from stpipe.models.io.content import Content
from stpipe.models.schema.fields import Field

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DESCRIPTION",
    "UNIT",
    "forget_columns",
    "problem_with",
    "put_words",
    "renumbered",
    "words_of",
]

UNIT = "TUNIT"
DESCRIPTION = "TCOMM"
# Keywords of single columns beyond those that the data are read with (FITS standard 7.3.2 and 8.2).
_OF_COLUMN = re.compile(
    r"(T(?:NULL|UNIT|DISP|COMM|UCD|DMIN|DMAX|LMIN|LMAX|CTYP|CUNI|CRVL|CDLT|CRPX))(\d{1,3})$"
)


def words_of(content: Content, field: Field, keyword: str) -> dict[str, str]:
    """The unit or description of each column that has one."""
    header = content.headers.get(field.hdu, Header())
    return _words(header, keyword, _columns(content, field))


def put_words(content: Content, field: Field, keyword: str, words: Mapping[str, str | int]) -> None:
    """Give columns their units, descriptions or nulls; others that the table had are dropped."""
    header = content.headers.get(field.hdu, Header())
    content.headers[field.hdu] = _with_words(header, keyword, _columns(content, field), words)


def problem_with(content: Content, field: Field, words: Mapping[str, str]) -> str:
    """Why columns cannot have these words: one sentence, or nothing."""
    columns = _columns(content, field)
    for name, word in words.items():
        if name not in columns:
            there = ", ".join(columns) or "none"
            return (
                f"{field.path} has no column {name}{did_you_mean(name, columns)}; it has {there}."
            )
        if not is_representable(word):
            return (
                f"column {name} of {field.path} cannot have {word!r}; allowed is printable ASCII."
            )
    return ""


def renumbered(header: Header, before: Sequence[str], table: np.dtype[Any]) -> Header:
    """A header of columns `before`, its cards of columns at the numbers that they have in `table`."""
    numbers = {name.upper(): number for number, name in enumerate(table.names or (), 1)}
    cards = (_renumbered(card, before, numbers) for card in header)
    whole = [f"TNULL{numbers[n.upper()]}" for n in table.names or () if table[n].base.kind in "iu"]
    return Header(
        c for c in cards if c and (c.keyword in whole or not c.keyword.startswith("TNULL"))
    )


def forget_columns(content: Content, field: Field) -> None:
    """Drop all cards of columns, because the table has others now."""
    header = content.headers.get(field.hdu, Header())
    kept = Header(card for card in header if not _OF_COLUMN.match(card.keyword))
    content.headers[field.hdu] = kept


def _renumbered(card: Card, before: Sequence[str], numbers: Mapping[str, int]) -> Card | None:
    match = _OF_COLUMN.match(card.keyword)
    if match is None or not 0 < int(match[2]) <= len(before):
        return card
    number = numbers.get(before[int(match[2]) - 1].upper())
    keyword = f"{match[1]}{number}"
    return None if number is None else Card(keyword, f"{keyword:<8}{card.image[8:]}")


def _words(header: Header, keyword: str, columns: Sequence[str]) -> dict[str, str]:
    found = {card.keyword: card.value for card in header if card.keyword.startswith(keyword)}
    numbered = {f"{keyword}{n}": name for n, name in enumerate(columns, 1)}
    return {numbered[key]: str(word) for key, word in found.items() if key in numbered}


def _with_words(
    header: Header, keyword: str, columns: Sequence[str], words: Mapping[str, str | int]
) -> Header:
    cards = [
        format_card(f"{keyword}{number}", words[name], "")
        for number, name in enumerate(columns, 1)
        if is_representable(words.get(name))
    ]
    others = [card for card in header if not card.keyword.startswith(keyword)]
    return Header([*cards, *others])


def _columns(content: Content, field: Field) -> tuple[str, ...]:
    array = content.arrays.get(field.path)
    return () if array is None else tuple(array.dtype.names or ())
