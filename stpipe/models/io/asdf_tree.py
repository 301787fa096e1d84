"""The tree of an ASDF file, and the arrays that it describes.

The same layout stands on its own in ``.asdf`` files and, as a byte column, in the ``ASDF``
extension of FITS files.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from stpipe.errors import InputError
from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io.asdf_blocks import Block, block_of, blocks_between, document_end, unpacked
from stpipe.models.io.content import Deferred
from stpipe.models.storage.arrays import Array, Stored
from stpipe.models.storage.source import Source
from stpipe.system.text import with_article

__all__ = [
    "datatype",
    "in_fits",
    "is_link",
    "is_plain",
    "numpy_dtype",
    "parse",
    "pop_extra_headers",
    "stored_array",
]

_SOFTWARE_KEYS = ("asdf_library", "_fits_hash")
_EXTRA = "extra_fits"
_LARGEST_CLAIM = 1 << 28  # bytes that few bytes may become by strides


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
        if isinstance(node, asdf_yaml.TaggedDict) and _refers_to_block(node):
            node.block = block_of(node["source"], blocks, source)
            _count_rows(node, node.block)
    return tree


def _refers_to_block(node: asdf_yaml.TaggedDict) -> bool:
    """Whether a node names a block: by its number or, of an array, by the file that it is in."""
    place = node.get("source")
    return type(place) is int or (type(place) is str and node.is_ndarray and not is_link(node))


def _count_rows(node: asdf_yaml.TaggedDict, block: Block) -> None:
    """Say how many rows there are where the first axis of an array is open, as in streams."""
    shape = node.get("shape")
    if not isinstance(shape, list) or shape[:1] != ["*"]:
        return
    with suppress(KeyError, TypeError, ValueError, OverflowError):  # said when it is touched
        raw = numpy_dtype(node["datatype"], node.get("byteorder", "big"))
        steps = node.get("strides")
        size = int(steps[0]) if steps else raw.itemsize * math.prod(int(n) for n in shape[1:])
        if size > 0:
            node["shape"] = [(block.length - int(node.get("offset", 0))) // size, *shape[1:]]


def is_plain(node: asdf_yaml.Tagged) -> bool:
    """Whether a node is an array in a block, or one of numbers in the tree."""
    if not node.is_ndarray or isinstance(node, asdf_yaml.TaggedStr):
        return False
    inline: Any = node
    if isinstance(node, asdf_yaml.TaggedDict):
        inline = node.get("data")
        is_table = inline is not None and isinstance(node.get("datatype"), list)
        if "mask" in node or is_table:
            return False
    values = asdf_yaml.nodes([*inline]) if inline else ()
    return not any(each is None or isinstance(each, asdf_yaml.Tagged) for each in values)


def stored_array(node: object, source: Source) -> Stored | Array | None:
    """The array that an ndarray node describes; None without a node.

    Raises
    ------
    InputError
        When the description is incomplete or contradicts the block.
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


def pop_extra_headers(tree: dict[str, Any]) -> dict[str, list[Any]]:
    """Take the unknown FITS keywords out of the tree that the peer keeps them in, by extension."""
    extra = tree.get(_EXTRA, {})
    found = {name: parts.pop("header") for name, parts in extra.items() if "header" in parts}
    tree[_EXTRA] = {name: parts for name, parts in extra.items() if parts}
    if not tree[_EXTRA]:
        del tree[_EXTRA]
    return found


def _array(node: object) -> Stored | Array | None:
    if node is None or isinstance(node, list):
        return None if node is None else np.array(node)
    if not isinstance(node, asdf_yaml.TaggedDict) or not node.is_ndarray:
        raise TypeError(f"{with_article(type(node).__name__)} stands in the place of an array")
    if "data" in node:
        values = np.array(node["data"])
        return values.astype(numpy_dtype(node["datatype"], "=")) if "datatype" in node else values
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
    before, after = _extent(stored, strides)
    if min(shape, default=0) < 0 or not before <= offset <= size - after:
        raise ValueError(f"shape {shape} of {raw} at {offset} in a block of {size} bytes")
    return _strided(stored, strides, before, after) if strides else stored


def _extent(stored: Stored, strides: list[int]) -> tuple[int, int]:
    """Bytes from the first item back to the foremost one, and on to the end of the last one."""
    if not strides:
        return 0, math.prod(stored.shape) * stored.raw.itemsize
    if 0 in stored.shape:
        return 0, 0
    steps = [(size - 1) * step for size, step in zip(stored.shape, strides, strict=True)]
    after = sum(step for step in steps if step > 0) + stored.raw.itemsize
    return -sum(step for step in steps if step < 0), after


def _column(entry: Mapping[str, Any], byteorder: str) -> Any:
    entry = dict(entry)
    order = entry.get("byteorder", byteorder)
    return (entry["name"], numpy_dtype(entry["datatype"], order), tuple(entry.get("shape", ())))


def _strided(stored: Stored, strides: list[int], before: int, after: int) -> Array:
    length = before + after
    if stored.nbytes > max(_LARGEST_CLAIM, length):
        raise ValueError(f"{stored.nbytes} bytes of values in {length} bytes of the file")
    flat = Stored(stored.source, stored.offset - before, np.dtype("u1"), (length,)).read()
    view: Array = np.ndarray(stored.shape, stored.raw, flat.data, offset=before, strides=strides)
    return np.array(view, stored.dtype)


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
        if not is_link(child):
            kept[name] = _cleaned(child)
    return kept


def _cleaned(child: Any) -> Any:
    # Parts of jwst's rectified spectra call themselves trees.
    if type(child) is dict or getattr(child, "tag", "").startswith(asdf_yaml.TREE):
        return _without_links(dict(child))
    if type(child) is list:
        return [_cleaned(item) for item in child]
    return child


def is_link(node: Any) -> bool:
    """Whether a node stands for an array in an extension of the FITS file around it."""
    is_array = isinstance(node, asdf_yaml.TaggedDict) and node.is_ndarray
    return is_array and str(node.get("source", "")).startswith("fits:")
