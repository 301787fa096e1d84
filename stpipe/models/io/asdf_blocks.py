"""The layout of ASDF files: a tree in YAML, then binary blocks.

ASDF Standard 1.6.0, chapter "Low-level file layout". Blocks may be set apart from the tree by padding,
the last one may go on to the end of the file, and an array may be in a block of another file.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats import asdf_yaml
from stpipe.models.storage.arrays import Stored
from stpipe.models.storage.packed import source_of
from stpipe.models.storage.source import Source

__all__ = [
    "Block",
    "CarriedBlock",
    "attach_blocks",
    "block_header",
    "block_of",
    "blocks_between",
    "document_end",
    "read_text",
    "unpacked",
]

_MAGIC = b"\xd3BLK"
_HEAD = struct.Struct(">4sHI4sQQQ16s")
_STREAMED = 1
_END = re.compile(rb"\r?\n\.\.\.\r?\n")
_NO_TREE = re.compile(rb"#ASDF[^\n]*\n(?:#[^\n]*\n)*(?=\xd3BLK)")
_READ_AHEAD = 1 << 16
_LONGEST_TREE = 1 << 28
# What few bytes may claim to become: more than that is a bomb, not an image.
_LARGEST_CLAIM = 1 << 28
_MOST_PACKED = 2000


@dataclass(frozen=True)
class Block:
    """A binary block of ``source``; its header starts at byte ``start``.

    ``size`` bytes are set aside, ``used`` of them hold the data, which are ``length`` bytes when
    they are unpacked. A streamed block goes on to the end of its file.
    """

    source: Source
    start: int
    offset: int
    size: int
    used: int
    length: int
    compression: bytes
    checksum: bytes = b""
    is_streamed: bool = False

    @property
    def nbytes(self) -> int:
        """Length with its header."""
        return self.offset - self.start + self.size


@dataclass(frozen=True)
class CarriedBlock:
    """A block of another file, written as it is."""

    block: Block

    @property
    def nbytes(self) -> int:
        """Length with header."""
        return self.block.nbytes

    def pieces(self) -> Iterator[Any]:
        """The bytes of the block."""
        block, start = self.block, self.block.start
        if block.is_streamed:  # it need not be the last one any more
            yield block_header(block.size)
            start = block.offset
        size = block.offset + block.size - start
        yield from Stored(block.source, start, np.dtype("u1"), (size,)).pieces()


def attach_blocks(tree: dict[str, Any], first: int = 0) -> list[CarriedBlock]:
    """The blocks that nodes of ``tree`` bring along, and their new numbers in the nodes."""
    blocks: list[CarriedBlock] = []
    numbers: dict[Block, int] = {}
    for node in asdf_yaml.nodes(tree):
        block = getattr(node, "block", None)
        if block is not None:
            if block not in numbers:
                numbers[block] = first + len(blocks)
                blocks.append(CarriedBlock(block))
            node["source"] = numbers[block]
    return blocks


def read_text(source: Source) -> bytes:
    """The YAML at the start of an ASDF file, up to its blocks.

    Raises
    ------
    InputError
        When it has no end.
    """
    text, step = b"", _READ_AHEAD
    with source.open() as stream:
        while (end := document_end(text)) is None and len(text) < _LONGEST_TREE:
            more = stream.read(step)
            if not more:
                break
            text, step = text + more, 2 * step
    if end is None:
        raise InputError(
            f"{source.path} is incomplete: its tree has no end before byte {len(text)}; "
            "download or rebuild it."
        )
    return text[:end]


def document_end(text: bytes) -> int | None:
    """Where the tree ends and blocks may begin; None when it has no end."""
    match = _NO_TREE.match(text) or _END.search(text)
    return match.end() if match else None


def block_of(place: int | str, blocks: Sequence[Block], source: Source) -> Block:
    """The block that a node refers to by its number, or by the name of another file.

    Raises
    ------
    InputError
        When there is no such block.
    """
    if isinstance(place, str):
        return _external(place, source)
    if not -len(blocks) <= place < len(blocks):
        raise InputError(
            f"{source.path} is incomplete: an array should be in block {place}, but there are "
            f"{len(blocks)} blocks; download or rebuild it."
        )
    return blocks[place]


def _external(name: str, source: Source) -> Block:
    """The first block of another ASDF file; only of one beside it: a file is no way into others."""
    from urllib.parse import unquote

    file = unquote(name)
    if file != Path(file).name or file in (".", ".."):
        raise InputError(
            f"{source.path}: an array is in the file {name!r}; allowed are files in the same folder. "
            "Put that file beside it and correct the name, or have asdf write one file."
        )
    path = source.path.with_name(file)
    if not path.is_file():
        raise InputError(
            f"{source.path}: an array is in the file {file}, which is not in {path.parent.resolve()}. "
            "Put it there."
        )
    other = source_of(path)
    with other.open() as stream:
        is_asdf = stream.read(5) == b"#ASDF"
    first = blocks_between(other, len(read_text(other)), other.size) if is_asdf else iter(())
    if (block := next(first, None)) is None:
        raise InputError(
            f"{source.path}: an array is in the file {file}, which has no block of ASDF."
        )
    return block


def blocks_between(source: Source, at: int, end: int) -> Iterator[Block]:
    """The binary blocks between two bytes of a file; the first one may be behind padding."""
    with source.open() as stream:
        at = _first_block(stream, at, end)
        while at + _HEAD.size <= end:
            stream.seek(at)
            head = stream.read(_HEAD.size)
            if not head.startswith(_MAGIC):
                return
            block = _block(source, at, end, head)
            yield block
            at = block.offset + block.size


def _first_block(stream: BinaryIO, at: int, end: int) -> int:
    """Where the first block starts: padding may have any content, but not how a block begins."""
    stream.seek(at)
    before = b""
    while piece := stream.read(min(_READ_AHEAD, end - at)):
        found = (before + piece).find(_MAGIC)
        if found >= 0:
            return at - len(before) + found
        before = piece[1 - len(_MAGIC) :]
        at += len(piece)
    return end


def _block(source: Source, at: int, end: int, head: bytes) -> Block:
    """The block whose header is at a byte of the file."""
    _, head_size, flags, compression, allocated, used, length, sum_ = _HEAD.unpack(head)
    offset = at + 6 + head_size
    packed = any(compression)
    is_streamed = bool(flags & _STREAMED)
    if is_streamed and not packed and head_size >= _HEAD.size - 6 and offset <= end:
        size = end - offset
        return Block(source, at, offset, size, size, size, compression, is_streamed=True)
    if used > allocated or head_size < _HEAD.size - 6 or (used != length and not packed):
        raise InputError(
            f"{source.path} is damaged: the header of the block at byte {at} contradicts itself; "
            "download or rebuild it."
        )
    if offset + allocated > end:
        raise InputError(
            f"{source.path} is incomplete: a block should end at byte {offset + allocated}, but the "
            f"file ends at byte {end}; download or rebuild it."
        )
    return Block(source, at, offset, allocated, used, length, compression, sum_)


def unpacked(block: Block) -> tuple[Source, int, int]:
    """Where the data of a block are, where they start there, and how many bytes they are.

    Raises
    ------
    InputError
        When they are compressed and damaged.
    """
    source = block.source
    if not block.compression.strip(b"\0"):
        return source, block.offset, block.used
    data = _unpacked(block)
    return Source(source.path, source.identity, 0, data), 0, len(data)


def _unpacked(block: Block) -> bytes:
    import bz2

    tools: dict[bytes, Callable[[], Any]] = {b"zlib": zlib.decompressobj}
    tools[b"bzp2"] = bz2.BZ2Decompressor
    if block.length > max(_LARGEST_CLAIM, _MOST_PACKED * block.used):
        raise InputError(
            f"{block.source.path} is damaged: a block of {block.used} bytes claims to hold "
            f"{block.length}; download or rebuild it."
        )
    with block.source.open() as stream:
        stream.seek(block.offset)
        packed = stream.read(block.used)
    if block.compression not in tools:
        return _by_library(block, packed)
    tool = tools[block.compression]()
    try:
        # No more than the header says, whatever the packed bytes would become.
        data: bytes = tool.decompress(packed, block.length + 1)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(f"{block.source.path} is damaged: a block of it: {error}.") from None
    # Only at the end of the packed bytes their own checksum has been compared.
    if len(data) != block.length or not tool.eof:
        raise InputError(
            f"{block.source.path} is damaged: a block of it should hold {block.length} bytes and "
            f"does not; download or rebuild it."
        )
    return data


def _by_library(block: Block, packed: bytes) -> bytes:
    """What a block holds that the asdf library, or an extension of it, unpacks, such as lz4."""
    import asdf

    name = block.compression.rstrip(b"\0").decode("ascii", "replace")
    node = {"source": 0, "datatype": "uint8", "byteorder": "big", "shape": [block.length]}
    tree = {"block": asdf_yaml.TaggedDict.of(f"{asdf_yaml.NDARRAY}1.1.0", node)}
    text = asdf_yaml.dump(tree) + block_header(block.length, block.used, name, block.checksum)
    try:
        with asdf.open(io.BytesIO(text + packed), lazy_load=False, memmap=False) as file:
            return bytes(np.asarray(file["block"]).data)
    except ImportError:
        raise InputError(
            f"{block.source.path}: its blocks are compressed with {name}; install the package that "
            f"unpacks it: pip install {name}."
        ) from None
    except Exception as error:
        if "compression type" in str(error):
            raise InputError(
                f"{block.source.path}: its blocks are compressed with {name}, which no installed "
                "package knows; install the one that wrote them, such as asdf-compression."
            ) from None
        words = " ".join(str(error).split())
        raise InputError(
            f"{block.source.path} is damaged: a block of it ({type(error).__name__}: {words}); get it "
            "or make it again."
        ) from error


def block_header(
    size: int, used: int | None = None, compression: str = "", checksum: bytes = b""
) -> bytes:
    """Header of a block of ``size`` bytes, ``used`` of them in the file when it is compressed."""
    used = size if used is None else used
    name = compression.encode("ascii")
    return _HEAD.pack(_MAGIC, _HEAD.size - 6, 0, name, used, used, size, checksum)
