"""Checksums: DATASUM and CHECKSUM of FITS files, MD5 sums of the blocks of ASDF files.

FITS Standard 4.0, section 4.4.2.7 and appendix J: the 32-bit ones' complement sum of all words of a
unit, with CHECKSUM, is zero.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stpipe.models.formats.fits_cards import Card, Header, format_card
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io.asdf_blocks import Block, blocks_between, read_text
from stpipe.models.storage.arrays import Stored
from stpipe.models.storage.source import Source

__all__ = ["KEYWORDS", "Verified", "ones_sum", "verify", "with_checksum"]

KEYWORDS = ("CHECKSUM", "DATASUM")
_FULL = 0xFFFFFFFF
# Characters that may not stand in the encoded sum: what is not a letter or digit in between.
_PUNCTUATION = frozenset([*range(0x3A, 0x41), *range(0x5B, 0x61)])
_ZERO = "0" * 16


class Verified(NamedTuple):
    """The result of verifying one extension of FITS, or block of ASDF.

    ``problem`` is empty when the bytes are those that were written, or nothing tells.
    """

    name: str
    problem: str
    present: bool


def ones_sum(pieces: Iterable[Any], start: int = 0) -> int:
    """The ones' complement sum of bytes, taken as big-endian words and filled up with zeros."""
    total, rest = start, b""
    for piece in pieces:
        block = memoryview(piece).cast("B")
        if rest or len(block) % 4:
            joined = rest + bytes(block)
            whole = len(joined) - len(joined) % 4
            block, rest = memoryview(joined[:whole]), joined[whole:]
        total += int(np.frombuffer(block, ">u4").sum(dtype=np.uint64))
    total += int.from_bytes(rest.ljust(4, b"\0"), "big")
    while total > _FULL:
        total = (total & _FULL) + (total >> 32)
    return total


def with_checksum(header: Header, pieces: Iterable[Any]) -> Header:
    """The header with DATASUM of the data in ``pieces``, and CHECKSUM of the whole unit."""
    bare = Header(card for card in header if card.keyword not in KEYWORDS)
    data = ones_sum(pieces)
    datasum = format_card("DATASUM", str(data), "checksum of the data")
    blank = Header([*bare, _card(_ZERO), datasum])
    return Header([*bare, _card(_encoded(ones_sum([blank.to_bytes()], data))), datasum])


def verify(path: str | os.PathLike[str]) -> list[Verified]:
    """Compare every extension of a FITS file, block of ASDF, or the text of ECSV with its checksum.

    Raises
    ------
    InputError
        When the file is missing, damaged, or neither.
    """
    from stpipe.models.io.reading import inspect

    file = inspect(Path(path))
    if file.units:
        return [_verified(unit) for unit in file.units]
    if file.table is not None:
        return [_verified_text(file.source)]
    return [_verified_block(number, block) for number, block in enumerate(_blocks(file.source))]


def _verified(unit: Hdu) -> Verified:
    cards = unit.header.by_keyword()
    data = ones_sum(_bytes(unit.source, unit.offset, unit.size))
    problems = []
    if "DATASUM" in cards and str(cards["DATASUM"].value) != str(data):
        problems.append(f"the data have the sum {data}, DATASUM is {cards['DATASUM'].value}")
    if "CHECKSUM" in cards:
        header = _bytes(unit.source, unit.start, unit.offset - unit.start)
        if ones_sum(header, data) not in (0, _FULL):
            problems.append("header and data do not add up to CHECKSUM")
    present = any(keyword in cards for keyword in KEYWORDS)
    return Verified(f"{unit.name},{unit.version}", "; ".join(problems), present)


def _blocks(source: Source) -> Iterator[Block]:
    return blocks_between(source, len(read_text(source)), source.size)


def _verified_block(number: int, block: Block) -> Verified:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in _bytes(block.source, block.offset, block.used):
        digest.update(piece)
    present = any(block.checksum)
    wrong = present and digest.digest() != block.checksum
    return Verified(
        f"block {number}", "the data do not have their MD5 sum" if wrong else "", present
    )


def _verified_text(source: Source) -> Verified:
    from stpipe.models.io.ecsv import checksum_of

    with source.open() as stream:
        found, wanted = checksum_of(stream.read())
    problem = "" if found == wanted else f"the text has the MD5 sum {wanted}, _md5 is {found}"
    return Verified("text", problem, bool(found))


def _bytes(source: Source, start: int, size: int) -> Iterator[Any]:
    return Stored(source, start, np.dtype("u1"), (size,)).pieces()


def _card(text: str) -> Card:
    # A fixed place: the sum depends on where the characters stand.
    return Card("CHECKSUM", f"{f'CHECKSUM= {text!r:<20} / checksum of header and data':<80}")


def _encoded(total: int) -> str:
    """16 characters that bring the sum of the unit to zero (appendix J.3)."""
    complement = (~total & _FULL).to_bytes(4, "big")
    columns = [list(_spread(byte)) for byte in complement]
    text = "".join(chr(columns[place][turn]) for turn in range(4) for place in range(4))
    # The value starts in column 12, so that words are turned by one character.
    return text[-1] + text[:-1]


def _spread(byte: int) -> Iterator[int]:
    """Four characters that add up to ``byte``, apart from the four zeros that they stand for."""
    quarter, left = divmod(byte, 4)
    characters = [quarter + 0x30 + (left if place == 0 else 0) for place in range(4)]
    while any(character in _PUNCTUATION for character in characters):
        for low, high in ((0, 1), (2, 3)):
            if {characters[low], characters[high]} & _PUNCTUATION:
                characters[low] += 1
                characters[high] -= 1
    yield from characters
