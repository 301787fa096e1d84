"""Write a model to an ASDF file: the same tree as in FITS, arrays in binary blocks."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.fits_cards import Header
from stpipe.models.io import asdf_objects, asdf_tree
from stpipe.models.io.asdf_blocks import attach_blocks, block_header
from stpipe.models.io.asdf_reader import FITS_KEY
from stpipe.models.io.content import Content, put
from stpipe.models.schema.schema import Schema
from stpipe.models.schema.validation import plain
from stpipe.models.storage.arrays import Array, Stored, blocks_of
from stpipe.system.software import VERSION

__all__ = ["images", "software", "write_asdf"]


def software() -> asdf_yaml.TaggedDict:
    """What wrote the file, as the ASDF standard wants it."""
    return asdf_yaml.TaggedDict.of(
        "tag:stsci.edu:asdf/core/software-1.0.0", {"name": "stpipe-flow", "version": VERSION}
    )


@dataclass(frozen=True)
class ArrayBlock:
    """A block with the values of an array, native, as they are in memory."""

    array: Array | Stored
    dtype: np.dtype[Any]

    def write(self, stream: BinaryIO, compression: str, *, checksum: bool) -> None:
        """Header and values; the header again when length and checksum are known."""
        size = int(np.prod(self.array.shape, dtype=np.int64)) * self.dtype.itemsize
        start = stream.tell()
        stream.write(block_header(size))
        digest = hashlib.md5(usedforsecurity=False) if checksum else None
        for piece in _packed(self._pieces(size), compression):
            stream.write(piece)
            if digest:
                digest.update(piece)
        if digest or compression:
            end = stream.tell()
            used = end - start - len(block_header(size))
            sum_ = digest.digest() if digest else b""
            stream.seek(start)
            stream.write(block_header(size, used, compression, sum_))
            stream.seek(end)

    def _pieces(self, size: int) -> Iterator[Any]:
        for block in blocks_of(self.array) if size else ():
            yield np.ascontiguousarray(block, self.dtype).reshape(-1).view(np.uint8).data


def _packed(pieces: Iterator[Any], compression: str) -> Iterator[Any]:
    """The pieces, compressed with ``zlib`` or ``bzp2``."""
    import bz2
    import zlib

    if not compression:
        yield from pieces
        return
    tool: Any = zlib.compressobj() if compression == "zlib" else bz2.BZ2Compressor()
    for piece in pieces:
        yield tool.compress(piece)
    yield tool.flush()


def write_asdf(
    content: Content,
    schema: Schema,
    stream: BinaryIO,
    *,
    compression: str = "",
    checksum: bool = False,
) -> None:
    """Write everything in ``content`` (its deferred metadata included) to ``stream``.

    ``compression`` is that of the arrays: ``zlib``, ``bzp2`` or nothing; with ``checksum`` their
    blocks carry an MD5 sum.
    """
    content.complete()
    blocks: list[ArrayBlock] = []
    tree = {"asdf_library": software(), **_tree(content, schema, blocks)}
    carried = attach_blocks(tree, len(blocks))
    stream.write(asdf_yaml.dump(tree))
    for block in blocks:
        block.write(stream, compression, checksum=checksum)
    for each in carried:
        stream.writelines(each.pieces())


def _tree(content: Content, schema: Schema, blocks: list[ArrayBlock]) -> dict[str, Any]:
    """Metadata and nodes of arrays; their blocks are appended to ``blocks``."""
    tree: dict[str, Any] = plain(asdf_objects.serialised(content.tree), "")
    for path, array in content.arrays.items():
        field = schema.arrays[path]
        dtype = array.dtype if field.is_table or field.dtype is None else field.dtype
        put(tree, path, _node(len(blocks), dtype, array.shape))
        blocks.append(ArrayBlock(array, dtype))
    for path, parts in content.lists.items():
        put(tree, path, [_tree(part, schema.lists[path], blocks) for part in parts])
    if content.headers or content.extras:
        tree[FITS_KEY], extra = _fits(content, len(blocks))
        blocks += extra
    return tree


def _node(number: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> asdf_yaml.TaggedDict:
    description = {
        "source": number,
        "datatype": asdf_tree.datatype(dtype, sys.byteorder),
        "byteorder": sys.byteorder,
        "shape": list(shape),
    }
    return asdf_yaml.TaggedDict.of(f"{asdf_yaml.NDARRAY}1.1.0", description)


def _fits(content: Content, first: int) -> tuple[dict[str, Any], list[ArrayBlock]]:
    """Headers and unknown extensions, so that a FITS file can be written from it."""
    bytes_ = np.dtype("u1")
    extensions = []
    for number, unit in enumerate(content.extras, start=first):
        node = _node(number, bytes_, (unit.size,))
        extensions.append({"header": images(unit.header), "data": node})
    blocks = [
        ArrayBlock(Stored(unit.source, unit.offset, bytes_, (unit.size,)), bytes_)
        for unit in content.extras
    ]
    headers = {name: images(header) for name, header in content.headers.items()}
    return {"headers": headers, "extensions": extensions}, blocks


def images(header: Header) -> list[str]:
    """The cards of a header as text."""
    return [card.image.rstrip() for card in header]
