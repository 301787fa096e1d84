"""What a model holds, whatever the format of the file that it came from."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stpipe.errors import InputError
from stpipe.models.formats.asdf_yaml import Tagged
from stpipe.models.formats.fits_cards import Header
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io.metadata_copies import copy_of
from stpipe.models.storage.arrays import Array, Stored, read_only
from stpipe.models.storage.source import Source

__all__ = ["LOCK", "Content", "Deferred", "blaming", "flatten", "lookup", "merge", "put", "remove"]

LOCK = threading.RLock()
"""Held while metadata and parts are brought in, as several threads may read one model."""


@dataclass(frozen=True)
class Deferred:
    """A metadata tree that is parsed when something is needed that the headers do not have."""

    text: bytes = field(repr=False)
    load: Callable[[], dict[str, Any]] = field(repr=False)
    lists: tuple[str, ...] = ()

    def mentions(self, path: str) -> bool:
        """Whether the tree may hold ``path``: a search that can be wrong only towards yes."""
        return f"{path.rpartition('.')[2]}:".encode() in self.text


@dataclass
class Content:
    """Metadata, arrays, and what a file holds beyond the schema.

    Attributes
    ----------
    tree
        Nested dictionaries of metadata.
    deferred
        More metadata, of lower rank than `tree`, not parsed yet.
    arrays
        By attribute path; `Stored` until they are used.
    headers
        Metadata cards of every extension that the schema knows, as they were read.
    extras
        Extensions that the schema does not know; written again as they are.
    lists
        The parts of each list, by attribute path.
    """

    source: Source | None = None
    tree: dict[str, Any] = field(default_factory=dict)
    deferred: Deferred | None = None
    arrays: dict[str, Array | Stored] = field(default_factory=dict)
    headers: dict[str, Header] = field(default_factory=dict)
    extras: list[Hdu] = field(default_factory=list)
    lists: dict[str, list[Content]] = field(default_factory=dict)

    def complete(self) -> None:
        """Add the metadata that are not parsed yet; existing values take precedence."""
        if self.deferred is None:
            return
        with LOCK, blaming(self.source.path) if self.source else nullcontext():
            if (deferred := self.deferred) is None:
                return
            tree = deferred.load()
            for path in deferred.lists:
                self._complete_parts(path, lookup(tree, path) or [])
                remove(tree, path)
            self.tree = merge(tree, self.tree)
            self.deferred = None  # last: until then others wait

    def _complete_parts(self, path: str, trees: list[dict[str, Any]]) -> None:
        parts = self.lists.setdefault(path, [])
        parts += [Content(self.source) for _ in trees[len(parts) :]]
        for part, tree in zip(parts, trees, strict=False):
            part.tree = merge(dict(tree), part.tree)
            part.deferred = None

    def defer_parts(self) -> None:
        """Let every part bring in its metadata when something is looked for in it."""
        if self.deferred is not None:
            later = Deferred(self.deferred.text, self._complete_for_part)
            for part in (part for parts in self.lists.values() for part in parts):
                part.deferred = later

    def _complete_for_part(self) -> dict[str, Any]:
        self.complete()
        return {}

    def copy(self, known: dict[int, Any] | None = None) -> Content:
        """Metadata copied, arrays shared and read-only in both.

        What several parts share is copied once: `known` are the copies that there are.
        """
        known = {} if known is None else known
        if self.lists:
            self.complete()
        for path, array in self.arrays.items():
            if not isinstance(array, Stored):
                self.arrays[path] = read_only(array)
        headers = {name: Header(header) for name, header in self.headers.items()}
        with LOCK:
            deferred, tree = self.deferred, copy_of(self.tree, known)
        lists = {path: [part.copy(known) for part in parts] for path, parts in self.lists.items()}
        copied = replace(self, tree=tree, deferred=deferred, headers=headers, lists=lists)
        copied.arrays, copied.extras = dict(self.arrays), list(self.extras)
        return copied


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn errors that unexpected content causes into one message about the file."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged: something in it is not what it should be "
            f"({type(error).__name__}: {error}); download or rebuild it."
        ) from error


def lookup(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    node: Any = tree
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node


def put(tree: dict[str, Any], path: str, value: object) -> None:
    """Set the value at a dotted path, making the dictionaries on the way."""
    *groups, name = path.split(".")
    node = tree
    for group in groups:
        child = node.get(group)
        if not isinstance(child, dict):
            child = node[group] = {}
        elif isinstance(child, Tagged):
            child = node[group] = copy.copy(child)  # copies of a model share it
        node = child
    node[name] = value


def remove(tree: dict[str, Any], path: str) -> None:
    """Drop the value at a dotted path, and dictionaries that are empty then."""
    group, _, name = path.rpartition(".")
    parent = lookup(tree, group) if group else tree
    if isinstance(parent, dict) and name in parent:
        del parent[name]
        if group and not parent:
            remove(tree, group)


def merge(low: dict[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Both trees in one; where both have a value, ``high`` wins."""
    for name, value in high.items():
        mine = low.get(name)
        if isinstance(mine, dict) and isinstance(value, Mapping):
            merge(mine, value)
        else:
            low[name] = value
    return low


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values; lists and tagged objects stay whole."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value and not isinstance(value, Tagged):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
