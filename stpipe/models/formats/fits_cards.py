"""Header cards of FITS: 80-column text to Python values and back.

Cards keep their text ("image"), so whatever this package does not understand is written again
exactly as it was read. Rules: FITS Standard 4.0, section 4; long strings: section 4.2.1.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

__all__ = [
    "BLOCK",
    "Card",
    "Header",
    "format_card",
    "is_representable",
    "parse_header",
    "text_cards",
]

BLOCK = 2880
_WIDTH = 80
_LARGEST = 10**69  # with its sign a larger number is longer than the card
_STRING = re.compile(r" *'((?:[^']|'')*)'")
_INTEGER = re.compile(r"[+-]?\d+$")
# What describes the bytes of an array belongs to the array, not to the metadata; checksums would
# be wrong as soon as anything changes.
_STRUCTURE = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND|GROUPS|BSCALE|BZERO|BLANK|EXTNAME|EXTVER"
    r"|TFIELDS|T(FORM|TYPE|DIM|SCAL|ZERO|BCOL)\d+|THEAP|CHECKSUM|DATASUM)$"
)


class Card(NamedTuple):
    """One keyword with its text, a multiple of 80 characters when the value is continued."""

    keyword: str
    image: str

    @property
    def is_structural(self) -> bool:
        """Whether the card describes how the data are stored."""
        return _STRUCTURE.match(self.keyword) is not None

    @property
    def value(self) -> Any:
        """Value as str, bool, int or float; None when undefined or when the card has none."""
        if self.image[8:10] != "= " and not self.keyword.startswith("HIERARCH"):
            return None
        body = self._body
        if body.lstrip().startswith("'"):
            return _long_string(self.image, body)
        return _scalar(body.partition("/")[0].strip())

    @property
    def token(self) -> str:
        """The text of the value as it stands on the card: ``00793`` stays ``00793``."""
        value = self.value
        return value if isinstance(value, str) else self._body.partition("/")[0].strip()

    @property
    def comment(self) -> str:
        """Comment of a card with a value on one line."""
        if len(self.image) > _WIDTH:
            return ""
        body = _STRING.sub("", self._body, count=1)
        return body.partition("/")[2].strip()

    @property
    def _body(self) -> str:
        start = self.image.index("=") + 1 if self.keyword.startswith("HIERARCH") else 10
        return self.image[start:_WIDTH]


class Header(list[Card]):
    """The cards of one header, in order."""

    def find(self, keyword: str) -> Card | None:
        """First card with ``keyword``."""
        return next((card for card in self if card.keyword == keyword), None)

    def get(self, keyword: str, default: object = None) -> Any:
        """Value of ``keyword``."""
        card = self.find(keyword)
        return default if card is None else card.value

    def by_keyword(self) -> dict[str, Card]:
        """The first card of every keyword."""
        return {card.keyword: card for card in reversed(self)}

    def without_structure(self) -> Header:
        """The cards that are metadata."""
        return Header(card for card in self if not card.is_structural)

    def to_bytes(self) -> bytes:
        """The header as it stands in a file, with END and padding."""
        text = "".join(card.image for card in self) + f"{'END':<80}"
        return (text + " " * (-len(text) % BLOCK)).encode("latin-1")


def parse_header(text: str) -> Header:
    """Cards in ``text``, up to and without END."""
    header = Header()
    for start in range(0, len(text), _WIDTH):
        image = text[start : start + _WIDTH]
        keyword = image[:8].rstrip()
        if keyword == "END":
            break
        if keyword == "CONTINUE" and header:
            header[-1] = Card(header[-1].keyword, header[-1].image + image)
        elif keyword == "HIERARCH" and "=" in image:
            header.append(Card(image.partition("=")[0].rstrip(), image))
        else:
            header.append(Card(keyword, image))
    return header


def format_card(keyword: str, value: object, comment: str = "") -> Card:
    """A card for a value that `is_representable`; a comment that does not fit is cut."""
    if isinstance(value, str):
        images = list(_string_images(keyword, value))
    else:
        images = [f"{keyword:<8}= {_number(value):>20}"]
    if comment and len(images) == 1:
        images[0] = f"{images[0]:<30} / {comment}"
    return Card(keyword, "".join(f"{image[:_WIDTH]:<80}" for image in images))


def is_representable(value: object) -> bool:
    """Whether a FITS header can hold ``value`` without loss."""
    if isinstance(value, str):
        return value.isascii() and (not value or value.isprintable()) and value == value.rstrip()
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, int)) and -_LARGEST < value < _LARGEST


def text_cards(lines: Iterable[str]) -> Iterator[Card]:
    """Cards without keyword: headings between sections."""
    for line in lines:
        yield Card("", f"{'':8}{line[:72]:<72}")


def _scalar(text: str) -> Any:
    if text in ("T", "F"):
        return text == "T"
    if _INTEGER.match(text):
        return int(text)
    if not text:
        return None
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        return text


def _long_string(image: str, body: str) -> str:
    bodies = [body, *(image[at + 10 : at + _WIDTH] for at in range(_WIDTH, len(image), _WIDTH))]
    text = ""
    for part in bodies:
        match = _STRING.match(part)
        if match is None:
            break
        text = text.removesuffix("&") if part is not body else text
        text += match[1].replace("''", "'")
    return text.rstrip()


def _number(value: object) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    # Numbers of numpy are numbers, but say so in their representation.
    return repr(float(value) if isinstance(value, float) else value).upper()


def _string_images(keyword: str, value: str) -> Iterator[str]:
    quoted = value.replace("'", "''")
    if len(quoted) <= _WIDTH - 12:
        yield f"{keyword:<8}= '{quoted:<8}'"
        return
    start = f"{keyword:<8}= "
    while quoted:
        room = _WIDTH - 12 if len(quoted) <= _WIDTH - 12 else _WIDTH - 13
        piece = quoted[:room]
        # A doubled quote must not be torn apart between two cards.
        if (len(piece) - len(piece.rstrip("'"))) % 2 and len(quoted) > len(piece):
            piece = piece[:-1]
        quoted = quoted[len(piece) :]
        yield f"{start}'{piece}{'&' if quoted else ''}'"
        start = "CONTINUE  "
