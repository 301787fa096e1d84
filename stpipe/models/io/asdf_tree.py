"""The parts of an ASDF file: a YAML tree, then binary blocks.

The same layout stands on its own in ``.asdf`` files and, as a byte column, in the ``ASDF``
extension of FITS files. ASDF Standard 1.6.0, chapter "Low-level file layout".
"""

from __future__ import annotations

import functools
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io.content import Deferred
from stpipe.models.storage.arrays import Array, Stored
from stpipe.models.storage.source import Source
from stpipe.system.text import counted, with_article

__all__ = [
    "Block",
    "CarriedBlock",
    "attach_blocks",
    "block_header",
    "blocks_between",
    "datatype",
    "document_end",
    "in_fits",
    "numpy_dtype",
    "parse",
    "pop_extra_headers",
    "stored_array",
    "unpacked",
]

_MAGIC = b"\xd3BLK"
_HEAD = struct.Struct(">4sHI4sQQQ16s")
_END = re.compile(rb"\r?\n\.\.\.\r?\n")
_SOFTWARE_KEYS = ("asdf_library", "_fits_hash")
_EXTRA = "extra_fits"
# How large few bytes may become: more than that is a decompression bomb, not an image.
_LARGEST_CLAIM = 1 << 28
_MOST_PACKED = 2000


@dataclass(frozen=True)
class Block:
    """A binary block of ``source``; its header starts at byte ``start``.

    ``size`` bytes are set aside, ``used`` of them hold the data, which are ``length`` bytes when
    they are unpacked.
    """

    source: Source
    start: int
    offset: int
    size: int
    used: int
    length: int
    compression: bytes
    checksum: bytes = b""

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
        block = self.block
        return Stored(block.source, block.start, np.dtype("u1"), (block.nbytes,)).pieces()


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


def in_fits(unit: Hdu) -> Deferred | None:
    """The metadata tree of the ASDF extension of a FITS file, not parsed yet."""
    with unit.source.open() as stream:
        stream.seek(unit.offset)
        text = stream.read(unit.size)
    end = document_end(text)
    if end is None:
        raise InputError(f"{unit} is damaged: its tree has no end; download or rebuild it.")
    return Deferred(text[:end], functools.partial(_load_from_fits, unit, text[:end]))


def parse(source: Source, text: bytes, first_block: int, end: int) -> dict[str, Any]:
    """The tree in ``text``, its arrays tied to the blocks between two bytes of the file.

    Raises
    ------
    InputError
        When it is not YAML.
    """
    import yaml

    try:
        tree = asdf_yaml.load(text)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{source.path} is damaged: its ASDF tree is not YAML: {reason}") from None
    blocks = list(blocks_between(source, first_block, end))
    for node in asdf_yaml.nodes(tree):
        if isinstance(node, asdf_yaml.TaggedDict) and type(node.get("source")) is int:
            node.block = _block_of(node["source"], blocks, source)
    return tree


def _block_of(number: int, blocks: list[Block], source: Source) -> Block:
    if not -len(blocks) <= number < len(blocks):
        raise InputError(
            f"{source.path} is incomplete: an array should be in block {number}, but it has "
            f"{counted(len(blocks), 'block')}; download or rebuild it."
        )
    return blocks[number]


def stored_array(node: object, source: Source) -> Stored | Array | None:
    """The array that an ndarray node describes; None without a node.

    Raises
    ------
    InputError
        When the description is incomplete or contradicts the block, or the array stands in another
        file.
    """
    try:
        return _array(node)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{source.path} is damaged: its ASDF tree describes an array wrongly "
            f"({type(error).__name__}: {error}); download or rebuild it."
        ) from None


def numpy_dtype(spec: object, byteorder: str) -> np.dtype[Any]:
    """A numpy dtype from the datatype of an ndarray node."""
    order: Literal["<", ">"] = ">" if byteorder == "big" else "<"
    if isinstance(spec, list) and spec and spec[0] in ("ascii", "ucs4"):
        return np.dtype(f"S{spec[1]}" if spec[0] == "ascii" else f"{order}U{spec[1]}")
    if isinstance(spec, list):
        return np.dtype([_column(entry, byteorder) for entry in spec])
    return np.dtype("?" if spec == "bool8" else str(spec)).newbyteorder(order)


def datatype(dtype: np.dtype[Any], byteorder: str) -> Any:
    """The datatype of an ndarray node from a numpy dtype."""
    if dtype.names is not None:
        return [
            {
                "name": name,
                "datatype": datatype(dtype[name].base, byteorder),
                "byteorder": byteorder,
            }
            | ({"shape": list(dtype[name].shape)} if dtype[name].shape else {})
            for name in dtype.names
        ]
    if dtype.kind in "SU":
        width = dtype.itemsize // (4 if dtype.kind == "U" else 1)
        return ["ucs4" if dtype.kind == "U" else "ascii", width]
    return "bool8" if dtype.kind == "b" else dtype.name


def block_header(
    size: int, used: int | None = None, compression: str = "", checksum: bytes = b""
) -> bytes:
    """Header of a block of ``size`` bytes, ``used`` of them in the file when it is compressed."""
    used = size if used is None else used
    name = compression.encode("ascii")
    return _HEAD.pack(_MAGIC, _HEAD.size - 6, 0, name, used, used, size, checksum)


def pop_extra_headers(tree: dict[str, Any]) -> dict[str, list[Any]]:
    """Take the unknown FITS keywords out of the tree that the peer keeps them in, by extension."""
    extra = tree.get(_EXTRA, {})
    found = {name: parts.pop("header") for name, parts in extra.items() if "header" in parts}
    tree[_EXTRA] = {name: parts for name, parts in extra.items() if parts}
    if not tree[_EXTRA]:
        del tree[_EXTRA]
    return found


def document_end(text: bytes) -> int | None:
    """Where the tree ends and blocks may begin; None when it has no end."""
    match = _END.search(text)
    return match.end() if match else None


def _array(node: object) -> Stored | Array | None:
    if node is None or isinstance(node, list):
        return None if node is None else np.array(node)
    if not isinstance(node, asdf_yaml.TaggedDict) or not node.is_ndarray:
        raise TypeError(f"{with_article(type(node).__name__)} stands in the place of an array")
    if "data" in node:
        return np.array(node["data"])
    if node.block is None:
        raise ValueError(f"its source {node.get('source')!r} is not a block of this file")
    return _in_block(node, node.block)


def _in_block(node: asdf_yaml.TaggedDict, block: Block) -> Stored | Array:
    raw = numpy_dtype(node["datatype"], node.get("byteorder", "big"))
    shape = tuple(int(axis) for axis in node["shape"])
    strides = [int(step) for step in node.get("strides", ())]
    source, start, size = unpacked(block)
    offset = int(node.get("offset", 0))
    stored = Stored(source, start + offset, raw, shape)
    if min(shape, default=0) < 0 or not 0 <= offset <= size - _extent(stored, strides):
        raise ValueError(f"shape {shape} of {raw} at {offset} in a block of {size} bytes")
    return _strided(stored, strides) if strides else stored


def _extent(stored: Stored, strides: list[int]) -> int:
    """Bytes from the first to the last item."""
    if not strides:
        return math.prod(stored.shape) * stored.raw.itemsize
    steps = zip(stored.shape, strides, strict=True)
    return sum((size - 1) * step for size, step in steps) + stored.raw.itemsize


def _column(entry: Mapping[str, Any], byteorder: str) -> Any:
    entry = dict(entry)
    order = entry.get("byteorder", byteorder)
    return (entry["name"], numpy_dtype(entry["datatype"], order), tuple(entry.get("shape", ())))


def blocks_between(source: Source, at: int, end: int) -> Iterator[Block]:
    """The binary blocks between two bytes of a file."""
    with source.open() as stream:
        while at + _HEAD.size <= end:
            stream.seek(at)
            head = stream.read(_HEAD.size)
            if not head.startswith(_MAGIC):
                return
            _, head_size, _, compression, allocated, used, length, sum_ = _HEAD.unpack(head)
            offset = at + 6 + head_size
            packed = any(compression)
            if used > allocated or head_size < _HEAD.size - 6 or (used != length and not packed):
                raise InputError(
                    f"{source.path} is damaged: the header of the block at byte {at} contradicts "
                    "itself; download or rebuild it."
                )
            if offset + allocated > end:
                raise InputError(
                    f"{source.path} is incomplete: a block should end at byte "
                    f"{offset + allocated}, but the file ends at byte {end}; "
                    "download or rebuild it."
                )
            yield Block(source, at, offset, allocated, used, length, compression, sum_)
            at = offset + allocated


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
    if block.compression not in tools:
        name = block.compression.decode("ascii", "replace")
        raise InputError(f"{block.source.path}: the compression {name} is not supported.")
    if block.length > max(_LARGEST_CLAIM, _MOST_PACKED * block.used):
        raise InputError(
            f"{block.source.path} is damaged: a block of {block.used} bytes claims to hold "
            f"{block.length}; download or rebuild it."
        )
    with block.source.open() as stream:
        stream.seek(block.offset)
        packed = stream.read(block.used)
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


def _strided(stored: Stored, strides: list[int]) -> Array:
    if min(strides, default=0) < 0:
        raise ValueError(f"strides {strides}")
    length = _extent(stored, strides)
    if stored.nbytes > max(_LARGEST_CLAIM, length):
        raise ValueError(f"{stored.nbytes} bytes of values in {length} bytes of the file")
    flat = Stored(stored.source, stored.offset, np.dtype("u1"), (length,)).read()
    return np.array(np.ndarray(stored.shape, stored.raw, flat.data, strides=strides), stored.dtype)


def _load_from_fits(unit: Hdu, text: bytes) -> dict[str, Any]:
    blocks = unit.offset + len(text)
    return _strip_fits(parse(unit.source, text, blocks, unit.offset + unit.size))


def _strip_fits(tree: dict[str, Any]) -> dict[str, Any]:
    """Without what the FITS file itself holds: software, hash, and links to its extensions."""
    kept = _without_links({key: tree[key] for key in tree if key not in _SOFTWARE_KEYS})
    extra = {name: dict(parts) for name, parts in kept.pop(_EXTRA, {}).items()}
    for parts in extra.values():
        parts.pop("header", None)
    remaining = {name: parts for name, parts in extra.items() if parts}
    return kept | ({_EXTRA: remaining} if remaining else {})


def _without_links(node: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, child in node.items():
        if not _is_link(child):
            kept[name] = _cleaned(child)
    return kept


def _cleaned(child: object) -> Any:
    if type(child) is dict:
        return _without_links(child)
    if type(child) is list:
        return [_cleaned(item) for item in child]
    return child


def _is_link(node: Any) -> bool:
    is_array = isinstance(node, asdf_yaml.TaggedDict) and node.is_ndarray
    return is_array and str(node.get("source", "")).startswith("fits:")
