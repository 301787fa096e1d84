"""Lists of parts in a model, such as the slits of an exposure: each part is a small model.

>>> from stpipe import models
>>> import numpy as np
>>> exposure = models.MultiSlitModel()
>>> exposure.slits.append({"name": "S200A1", "data": np.ones((3, 4))})
>>> exposure.slits[0].data.shape
(3, 4)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence
from typing import Any, Self, overload

from stpipe.errors import ValidationError
from stpipe.models.base import DataModel
from stpipe.models.io.content import LOCK, Content
from stpipe.models.schema.schema import Schema

__all__ = ["ModelList", "Part"]


class Part(DataModel, register=False):
    """One part of a list: arrays and metadata as the ``items`` of the schema describe them.

    Give it to a model class to make it a model of its own: ``SlitModel(exposure.slits[0])``.
    """

    def __init__(self, schema: Schema, content: Content | None = None) -> None:
        self._schema = schema
        self._content = content or Content()
        self._made = {}
        self._lists = {}

    @property
    def primary(self) -> str:  # type: ignore[override]
        """The array ``data``, or the first one of the schema."""
        arrays = self._schema.arrays
        return "data" if "data" in arrays else next(iter(arrays), "data")

    def copy(self) -> Self:
        """The same part with metadata of its own; arrays are shared, read-only in both."""
        self._content.complete()
        return type(self)(self._schema, self._content.copy())

    @classmethod
    def of(cls, schema: Schema, value: Any) -> Part:
        """A part from a dictionary, another part, or a model of which it takes what it knows.

        Raises
        ------
        ValidationError
            When a value does not conform, or ``value`` is none of these.
        """
        if isinstance(value, Part) and value.schema == schema:
            return value.copy()
        part = cls(schema)
        if isinstance(value, DataModel):
            part._take_known(value)
        elif isinstance(value, Mapping):
            part._fill(value)
        else:
            raise ValidationError(
                f"A part of {'.'.join(schema.inside)} is made from a model or a dictionary, "
                f"not from a {type(value).__name__}."
            )
        return part

    @property
    def _described(self) -> str:
        return f"A part of {'.'.join(self._schema.inside)}"

    def _take_known(self, other: DataModel) -> None:
        self._adopt(other)
        self._content = Content(arrays=self._content.arrays, lists=self._content.lists)
        for path, value in other.to_flat_dict().items():
            if path in self._schema.metadata:
                self.set(path, value)


class ModelList(MutableSequence[Part]):
    """The parts of one list of a model; what is put in becomes a `Part`."""

    def __init__(self, schema: Schema, owner: Content, path: str) -> None:
        self._schema = schema
        self._owner = owner
        self._contents = owner.lists.setdefault(path, [])
        self._made: list[Part] = []

    @property
    def _parts(self) -> list[Part]:
        """The parts; more of them may turn up when the metadata tree of the file is parsed."""
        if len(self._made) != len(self._contents):
            with LOCK:
                for content in self._contents[len(self._made) :]:
                    self._made.append(Part(self._schema, content))
        return self._made

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Part: ...
    @overload
    def __getitem__(self, index: slice) -> list[Part]: ...
    def __getitem__(self, index: int | slice) -> Part | list[Part]:
        return self._parts[index]

    @overload
    def __setitem__(self, index: int, value: Any) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Any]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        # What the tree tells about part n has to reach it while it still is part n.
        self._owner.complete()
        if isinstance(index, slice):
            parts = [Part.of(self._schema, each) for each in value]
            self._parts[index] = parts
            self._contents[index] = [part._content for part in parts]  # noqa: SLF001 - our parts
        else:
            part = self._parts[index] = Part.of(self._schema, value)
            self._contents[index] = part._content  # noqa: SLF001

    def __delitem__(self, index: int | slice) -> None:
        self._owner.complete()
        del self._parts[index]
        del self._contents[index]

    def insert(self, index: int, value: Any) -> None:
        """Insert a part made from a model or a dictionary."""
        self[index:index] = [value]

    def __repr__(self) -> str:
        return f"<{len(self)} parts {self._parts!r}>"
