"""Lists of parts in a model, such as the slits of an exposure: each part is a small model.

>>> from stpipe import models
>>> import numpy as np
>>> exposure = models.MultiSlitModel()
>>> exposure.slits.append({"name": "S200A1", "data": np.ones((3, 4))})
>>> exposure.slits[0].data.shape
(3, 4)
"""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence
from typing import Any, Protocol, Self, TypeVar, overload

from stpipe.models.io.content import LOCK, Content, lookup, put
from stpipe.models.schema.schema import Schema
from stpipe.system.text import counted

__all__ = ["ModelList", "PartOfList"]


class PartOfList(Protocol):
    """What a list asks of the class of its parts."""

    _content: Content

    def __init__(self, schema: Schema, content: Content | None = None) -> None: ...

    @classmethod
    def of(cls, schema: Schema, value: object) -> Self:
        """A part from a dictionary, another part, or a model."""
        ...


P = TypeVar("P", bound=PartOfList)


class ModelList(MutableSequence[P]):
    """The parts of one list of a model; what is put in becomes a part."""

    def __init__(self, kind: type[P], schema: Schema, owner: Content, path: str) -> None:
        self._kind = kind
        self._schema = schema
        self._owner = owner
        self._contents = owner.lists.setdefault(path, [])
        self._made: list[P] = []

    @property
    def _parts(self) -> list[P]:
        """The parts; more of them may turn up when the metadata tree of the file is parsed."""
        if len(self._made) != len(self._contents):
            with LOCK:
                for content in self._contents[len(self._made) :]:
                    self._made.append(self._kind(self._schema, content))
        return self._made

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> P: ...
    @overload
    def __getitem__(self, index: slice) -> list[P]: ...
    def __getitem__(self, index: int | slice) -> P | list[P]:
        return self._parts[index]

    @overload
    def __setitem__(self, index: int, value: object) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Any]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        # Metadata of part n in the tree have to be read while it still is part n.
        self._owner.complete()
        if isinstance(index, slice):
            parts = [self._kind.of(self._schema, each) for each in value]
            self._parts[index] = parts
            self._contents[index] = [part._content for part in parts]  # noqa: SLF001 - our parts
        else:
            part = self._parts[index] = self._kind.of(self._schema, value)
            self._contents[index] = part._content  # noqa: SLF001

    def __delitem__(self, index: int | slice) -> None:
        self._owner.complete()
        del self._parts[index]
        del self._contents[index]

    def revive(self, path: str) -> None:
        """Make objects such as ``meta.wcs`` of all parts alive at once.

        What parts share in the file they share in memory, and it is made once. Objects that are alive
        already stay as they are.
        """
        from stpipe.models.formats.asdf_yaml import Tagged
        from stpipe.models.io import asdf_objects

        self._owner.complete()
        for content in self._contents:
            content.complete()
        dormant = [c for c in self._contents if isinstance(lookup(c.tree, path), Tagged)]
        nodes = [lookup(content.tree, path) for content in dormant]
        revived = asdf_objects.revived(nodes, path, self._owner.source)
        for content, found in zip(dormant, revived, strict=True):
            put(content.tree, path, found)

    def insert(self, index: int, value: object) -> None:
        """Insert a part made from a model or a dictionary."""
        self[index:index] = [value]

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'part')} {self._parts!r}>"
