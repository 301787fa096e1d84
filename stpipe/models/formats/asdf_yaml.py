"""YAML with tags, as ASDF uses it, without understanding the tags.

Whatever carries a tag becomes a `Tagged` node that behaves like the plain value and is written
again with its tag. So a tree that holds objects of other packages survives, whether or not those
packages are installed. Binary blocks travel with the ``core/ndarray`` nodes that refer to them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

from stpipe.system.safe_yaml import guarded

__all__ = [
    "NDARRAY",
    "TREE",
    "YAML",
    "Tagged",
    "TaggedDict",
    "TaggedList",
    "TaggedStr",
    "dump",
    "load",
    "nodes",
]

YAML = "tag:yaml.org,"  # begins the tags that YAML defines itself
_PREFIX = "tag:stsci.edu:asdf/"
NDARRAY = f"{_PREFIX}core/ndarray-"
TREE = f"{_PREFIX}core/asdf-"
_ROOT = f"{TREE}1.1.0"
# Tags of older standards whose nodes are valid nodes of the newer tag, so that every tree that is
# written is of one standard, whatever it was read from.
_RENEWED = {
    f"{_PREFIX}{old}": f"{_PREFIX}{new}"
    for old, new in {
        "core/column-1.0.0": "table/column-1.1.0",
        "core/integer-1.0.0": "core/integer-1.1.0",
        "core/ndarray-1.0.0": "core/ndarray-1.1.0",
        "core/table-1.0.0": "table/table-1.1.0",
        "fits/fits-1.0.0": "fits/fits-1.1.0",
        "time/time-1.1.0": "time/time-1.2.0",
        "unit/quantity-1.1.0": "unit/quantity-1.2.0",
    }.items()
}
# Trees of a thousand slits have a million nodes; a larger tree is meant to fill the memory.
_MOST_NODES = 20_000_000
_DEEPEST = 200
_ORDERED = f"{YAML}2002:omap"
_HEADER = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n"


class Tagged:
    """A node with a YAML tag."""

    tag: str

    @classmethod
    def of(cls, tag: str, value: object) -> Self:
        """Attach ``tag`` to a plain value."""
        node = cls(value)  # type: ignore[call-arg]
        node.tag = tag
        return node

    @property
    def is_ndarray(self) -> bool:
        """Whether the node describes an array."""
        return self.tag.startswith(NDARRAY)


class TaggedDict(Tagged, dict[str, Any]):
    """A mapping with a tag; ``block`` holds the binary block that an ndarray refers to."""

    block: Any = None


class TaggedList(Tagged, list[Any]):
    """A sequence with a tag."""


class TaggedStr(Tagged, str):  # noqa: SLOT000 - it has a tag
    """A scalar with a tag, in the text of the file."""


class Pairs(list[Any]):
    """A mapping that keeps an order (!!omap), as pairs of names and values."""


def load(text: bytes) -> dict[str, Any]:
    """The tree of an ASDF document; raises `yaml.YAMLError` when the text is not one."""
    import yaml

    _check_depth(text)
    tree = yaml.load(text, Loader=_loader()) or {}  # noqa: S506 - derives from the safe loader
    if not isinstance(tree, dict):
        raise yaml.YAMLError("it is not a mapping")
    if _weight(tree) > _MOST_NODES:
        raise yaml.YAMLError("its aliases unfold into too many nodes, or into themselves")
    return dict(tree)


def dump(tree: Mapping[str, Any]) -> bytes:
    """An ASDF document that holds ``tree``, without blocks."""
    import yaml

    options: dict[str, Any] = {"version": (1, 1), "tags": {"!": _PREFIX}, "sort_keys": False}
    options |= {"explicit_start": True, "explicit_end": True, "allow_unicode": True}
    options |= {"default_flow_style": None}
    root = TaggedDict.of(_ROOT, tree)
    text = yaml.dump(root, Dumper=_dumper(), encoding="utf-8", width=1000, **options)
    return _HEADER + bytes(text)


def _check_depth(text: bytes) -> None:
    """Refuse trees that are nested so deeply that the parser would run out of stack and crash."""
    import yaml

    brackets = text.count(b"[") + text.count(b"{")
    if brackets <= _DEEPEST and b" " * _DEEPEST not in text and b"- " * _DEEPEST not in text:
        return
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} times")


def _weight(tree: object) -> float:
    """How many nodes a tree has when every alias is written out; infinite for a cycle.

    Objects count as one: they are never written out, and a transform may be in its own inverse.
    """
    known: dict[int, float] = {}
    stack = [tree]
    while stack:
        node = stack[-1]
        children = _children(node)
        if id(node) not in known:
            # Whoever meets this node again before it is finished has found a cycle.
            known[id(node)] = math.inf
            stack.extend(child for child in children if id(child) not in known)
        else:
            stack.pop()
            if known[id(node)] == math.inf:
                known[id(node)] = 1 + sum(known[id(child)] for child in children)
    return known[id(tree)]


def _children(node: Any) -> list[Any]:
    values = node.values() if isinstance(node, dict) else node
    return [
        child
        for child in values
        if isinstance(child, (dict, list, tuple)) and not isinstance(child, Tagged)
    ]


def nodes(tree: object) -> Iterator[Any]:
    """Every node of a tree, parents first, each once."""
    stack, seen = [tree], set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        if isinstance(node, (dict, list, tuple)):  # pairs are tuples
            seen.add(id(node))
            stack.extend(reversed(list(node.values() if isinstance(node, dict) else node)))
        yield node


@functools.cache
def _loader() -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    def tag(loader: Any, _: str, node: Any) -> Iterator[Any]:
        name = _RENEWED.get(node.tag, node.tag)
        if isinstance(node, yaml.ScalarNode):
            yield TaggedStr.of(name, node.value)
        elif isinstance(node, yaml.SequenceNode):
            items: TaggedList = TaggedList.of(name, [])
            yield items
            items.extend(loader.construct_sequence(node))
        else:
            pairs: TaggedDict = TaggedDict.of(name, {})
            yield pairs
            pairs.update(loader.construct_mapping(node))

    Loader.add_multi_constructor("", tag)

    def pairs_of(loader: Any, node: Any) -> Iterator[Any]:
        pairs = Pairs()
        yield pairs
        for filled in loader.construct_yaml_omap(node):
            found = filled
        pairs.extend(found)

    Loader.add_constructor(_ORDERED, pairs_of)
    # Dates stay text with their tag, so that they are written as they were read.
    del Loader.yaml_constructors["tag:yaml.org,2002:timestamp"]
    del Loader.yaml_constructors[None]
    return guarded(Loader)


@functools.cache
def _dumper() -> Any:
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        pass

    def scalar(dumper: Any, node: TaggedStr) -> Any:
        return dumper.represent_scalar(node.tag, str(node))

    Dumper.add_representer(TaggedStr, scalar)
    Dumper.add_representer(TaggedDict, lambda d, n: d.represent_mapping(n.tag, n))
    Dumper.add_representer(TaggedList, lambda d, n: d.represent_sequence(n.tag, n))
    Dumper.add_representer(
        Pairs, lambda d, n: d.represent_sequence(_ORDERED, [{name: value} for name, value in n])
    )
    return Dumper
