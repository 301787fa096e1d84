"""Units and descriptions of the columns of tables: the keywords TUNIT and TCOMM of their extension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stpipe.models.cards import Header, format_card, is_representable
from stpipe.models.content import Content
from stpipe.models.schema import Field

__all__ = ["DESCRIPTION", "UNIT", "put_words", "renumbered", "words_of"]

UNIT = "TUNIT"
DESCRIPTION = "TCOMM"


def words_of(content: Content, field: Field, keyword: str) -> dict[str, str]:
    """The unit or description of each column that has one."""
    header = content.headers.get(field.hdu, Header())
    return _words(header, keyword, _columns(content, field))


def put_words(content: Content, field: Field, keyword: str, words: Mapping[str, str]) -> None:
    """Give columns their units or descriptions; others that the table had are dropped."""
    header = content.headers.get(field.hdu, Header())
    content.headers[field.hdu] = _with_words(header, keyword, _columns(content, field), words)


def renumbered(header: Header, before: Sequence[str], after: Sequence[str]) -> Header:
    """A header of columns `before`, with their words at the places of the columns `after`."""
    if tuple(before) == tuple(after):
        return header
    for keyword in (DESCRIPTION, UNIT):
        named = {name.upper(): word for name, word in _words(header, keyword, before).items()}
        words = {name: named[name.upper()] for name in after if name.upper() in named}
        header = _with_words(header, keyword, after, words)
    return header


def _words(header: Header, keyword: str, columns: Sequence[str]) -> dict[str, str]:
    found = {card.keyword: card.value for card in header if card.keyword.startswith(keyword)}
    numbered = {f"{keyword}{n}": name for n, name in enumerate(columns, 1)}
    return {numbered[key]: str(word) for key, word in found.items() if key in numbered}


def _with_words(
    header: Header, keyword: str, columns: Sequence[str], words: Mapping[str, str]
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
