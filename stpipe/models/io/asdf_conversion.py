"""Nodes of an ASDF tree become objects, and objects nodes, without a text in between.

The converters are those of the asdf library, which would write and read a whole file for it. What
needs more of the library than its converters, such as masked arrays, is left to it; so is reading
what contains itself.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stpipe.models.formats.asdf_yaml import (
    NDARRAY,
    Pairs,
    Tagged,
    TaggedDict,
    TaggedList,
    TaggedStr,
)
from stpipe.models.io.asdf_blocks import Block, block_header
from stpipe.models.io.asdf_tree import datatype, is_plain, stored_array
from stpipe.models.storage.arrays import Stored, read_only
from stpipe.models.storage.source import Source

__all__ = ["nodes_of", "object_of"]

# Families whose converters ask nothing of the file that is read or written.
_FAMILIES = (
    *("tag:stsci.edu:asdf/transform/", "tag:stsci.edu:asdf/unit/", "tag:stsci.edu:gwcs/"),
    *("tag:stsci.edu:jwst_pipeline/", "tag:astropy.org:astropy/coordinates/frames/"),
)
_PLAIN = (bool, int, float, str, type(None))
_MEMORY = Source(Path("memory"), (0, 0, 0), 0)


# Transforms by their nodes: the slits of an exposure share most of them, and are used one by one.
_KEPT: dict[int, tuple[Any, Any]] = {}


class _UnknownError(Exception):
    """Something that the library has to convert."""


@cache
def _manager() -> Any:
    import asdf

    with _compiled_yaml():
        return asdf.AsdfFile().extension_manager


@contextmanager
def _compiled_yaml() -> Iterator[None]:
    """Let the library read its manifests with libyaml: each process that makes objects saves 0.4 s."""
    import yaml

    library: Any = yaml
    usual = library.SafeLoader
    library.SafeLoader = getattr(library, "CSafeLoader", usual)
    try:
        yield
    finally:
        library.SafeLoader = usual


def object_of(node: object) -> Any:
    """The objects that a tree of nodes describes; None where the library has to make them."""
    with suppress(Exception):  # the library says what is wrong
        return _Reading().made(node)
    return None


def nodes_of(objects: list[Any]) -> list[Any] | None:
    """Nodes of objects, which share what the objects share; None where the library has to make them."""
    with suppress(Exception):
        return [*_Writing().node_of(objects)]
    return None


class _Reading:
    """Objects of one tree: what nodes share is made once."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def made(self, node: Any) -> Any:
        """The object of a node, or its plain value."""
        if isinstance(node, _PLAIN) and not isinstance(node, Tagged):
            return node
        if id(node) not in self._made:
            self._made[id(node)] = _UnknownError  # who meets it before it is made has found a cycle
            self._made[id(node)] = (
                self._remembered(node) if _is_value(node) else self._converted(node)
            )
        if (found := self._made[id(node)]) is _UnknownError:
            raise _UnknownError
        return found

    def _remembered(self, node: TaggedDict) -> Any:
        """The object of a node that was converted before, as long as the node is there."""
        known, found = _KEPT.get(id(node), (None, None))
        if known is not None and known() is node:
            return found
        found = self._converted(node)
        key = id(node)
        _KEPT[key] = (weakref.ref(node, lambda _: _KEPT.pop(key, None)), found)
        return found

    def _converted(self, node: Any) -> Any:
        if isinstance(node, Tagged) and node.is_ndarray:
            return _array_of(node)
        content = self._content(node)
        if not isinstance(node, Tagged):
            return content
        if not node.tag.startswith(_FAMILIES):
            raise _UnknownError(node.tag)
        converter = _manager().get_converter_for_tag(node.tag)
        return _complete(converter.from_yaml_tree(content, node.tag, None))

    def _content(self, node: Any) -> Any:
        if isinstance(node, Pairs):
            return OrderedDict((name, self.made(child)) for name, child in node)
        if isinstance(node, dict):
            return {name: self.made(child) for name, child in node.items()}
        if isinstance(node, list):
            return [self.made(child) for child in node]
        if isinstance(node, str):
            return str(node)
        raise _UnknownError(type(node))


def _is_value(node: Any) -> bool:
    """Whether a node is of a transform, which nobody changes; boxes of pixels may be changed."""
    is_transform = isinstance(node, TaggedDict) and node.tag.startswith(_FAMILIES[0])
    return is_transform and "bounding_box" not in node


def _array_of(node: Any) -> Any:
    found = stored_array(node, _MEMORY) if is_plain(node) else None
    if found is None:
        raise _UnknownError(node.tag)
    return read_only(found.read() if isinstance(found, Stored) else found)


def _complete(found: Any) -> Any:
    """The object of a converter that yields it before it is complete."""
    if not hasattr(found, "__next__"):
        return found
    made = next(found)
    for _ in found:
        pass
    return made


class _Writing:
    """Nodes of one tree of objects: what these share is converted once."""

    def __init__(self) -> None:
        self._nodes: dict[int, Any] = {}
        self._alive: list[Any] = []  # an identity means nothing when its object is gone

    def node_of(self, found: Any) -> Any:
        """The node of an object, or its plain value."""
        if type(found) in _PLAIN:
            return found
        if isinstance(found, np.generic) and found.dtype.kind in "biuf":
            return found.item()
        if id(found) not in self._nodes:
            self._alive.append(found)
            if isinstance(found, np.ndarray):
                self._nodes[id(found)] = _array_node(found)
            elif isinstance(found, (dict, list, tuple)):
                self._fill(id(found), _empty(found), found)
            else:
                self._convert(found)
        return self._nodes[id(found)]

    def _convert(self, found: Any) -> None:
        converter = _manager().get_converter_for_type(type(found))
        tag = converter.select_tag(found, None)
        if not str(tag).startswith(_FAMILIES):
            raise _UnknownError(tag)
        content = converter.to_yaml_tree(found, tag, None)
        if isinstance(content, str):
            self._nodes[id(found)] = TaggedStr.of(tag, content)
        elif isinstance(content, dict):
            self._fill(id(found), TaggedDict.of(tag, {}), content)
        elif isinstance(content, list):
            self._fill(id(found), TaggedList.of(tag, []), content)
        else:
            raise _UnknownError(type(content))

    def _fill(self, key: int, node: Any, content: Any) -> None:
        """Convert what a mapping or a list holds; it may refer to itself."""
        self._nodes[key] = node
        if isinstance(node, Pairs):
            node.extend((name, self.node_of(child)) for name, child in content.items())
        elif isinstance(node, dict):
            node.update((name, self.node_of(child)) for name, child in content.items())
        else:
            node.extend(self.node_of(child) for child in content)


def _empty(found: Any) -> Any:
    if isinstance(found, OrderedDict):
        return Pairs()
    if type(found) not in (dict, list, tuple):
        raise _UnknownError(type(found))
    return {} if type(found) is dict else []


def _array_node(array: Any) -> TaggedDict:
    if type(array) is not np.ndarray or array.dtype.kind not in "biufc":
        raise _UnknownError(type(array))
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    node = TaggedDict.of(
        f"{NDARRAY}1.1.0",
        {
            "source": 0,
            "datatype": datatype(little.dtype, "little"),
            "byteorder": "little",
            "shape": list(array.shape),
        },
    )
    head, data = block_header(little.nbytes), little.tobytes()
    source = Source(Path("memory"), (0, 0, 0), len(head) + len(data), head + data)
    size = little.nbytes
    node.block = Block(source, 0, len(head), size, size, size, b"\0\0\0\0")
    return node
