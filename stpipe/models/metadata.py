"""Metadata as attributes: ``model.meta.instrument.name``.

Headers are read when a file is opened; the metadata tree of its ASDF extension is parsed only
when something is asked for that the headers do not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stpipe.errors import ValidationError, did_you_mean
from stpipe.models.flat import FlatDict
from stpipe.models.formats.asdf_yaml import Tagged
from stpipe.models.io.content import Content, flatten, lookup, put, remove
from stpipe.models.schema.fields import Field
from stpipe.models.schema.schema import Schema
from stpipe.models.schema.validation import check_value, plain
from stpipe.system.text import with_article

__all__ = ["Found", "HasMetadata", "Metadata", "Node"]

# Types of values that hold no others.
_SINGLE = ("string", "number", "integer", "boolean", "data")
_SCALARS = (str, int, float)


class Found(NamedTuple):
    """One attribute that a search found."""

    path: str
    keyword: str | None
    title: str
    value: Any


class HasMetadata:
    """Metadata of a file or model, by attribute (``.meta.x.y``) and by dotted path."""

    meta: Node
    _schema: Schema
    _content: Content

    @property
    def schema(self) -> Schema:
        """The flattened schema."""
        return self._schema

    @property
    def path(self) -> Path | None:
        """The file that this was opened from."""
        return self._content.source.path if self._content.source else None

    def get(self, path: str, default: object = None) -> Any:
        """Metadata value at a dotted path such as ``meta.exposure.nints``.

        A value that is not set is the schema's default, or else ``default``. Mappings come as
        dictionaries, and objects such as ``meta.wcs`` alive.
        """
        if (part := self._inside_list(path)) is not None:
            return part[0].get(part[1], default)
        value = self._raw(path)
        if isinstance(value, (Tagged, list)):
            from stpipe.models.io import asdf_objects

            value = asdf_objects.revived(value, path, self._content.source)
            put(self._content.tree, path, value)
        if value is None and path in self._schema.metadata:
            value = self._schema.metadata[path].default
        return default if value is None else value

    def _raw(self, path: str) -> Any:
        """The value as it is stored, which may be a tagged node."""
        deferred = self._content.deferred  # before the tree: another thread may bring it in
        value = lookup(self._content.tree, path)
        if deferred is None or not (value is None or isinstance(value, dict)):
            return value
        if isinstance(value, dict) or deferred.mentions(path):
            self._content.complete()
        return lookup(self._content.tree, path)

    def set(self, path: str, value: object) -> None:
        """Set the value at a dotted path; a path that the schema does not know is allowed.

        None removes the value.

        Raises
        ------
        ValidationError
            When the schema does not allow the value; nothing is changed then.
        """
        if not (isinstance(value, _SCALARS) and path in self._schema.metadata):
            self._content.complete()  # else the value takes precedence when the rest comes in
        if (part := self._inside_list(path)) is not None:
            part[0].set(part[1], value)
            return
        value = plain(value.to_dict() if isinstance(value, Node) else value, path)
        if problem := self._problem(path, value):
            raise ValidationError(f"{self._described}: {problem}")
        if value is None:
            remove(self._content.tree, path)
        else:
            put(self._content.tree, path, value)

    def _problem(self, path: str, value: object) -> str:
        """What is wrong with a value at a path: one sentence, or nothing."""
        if (known := self._schema.fields.get(path)) is not None:
            return "" if value is None else check_value(known, value)
        names = path.split(".")
        if not all(names):
            return f'"{path}" is not a dotted path such as meta.instrument.name.'
        for depth in range(1, len(names)):
            above = ".".join(names[:depth])
            field = self._schema.fields.get(above)
            if above in self._schema.lists or (field and field.type in _SINGLE):
                return f"there is no {path}, as {above} is {self._kind(above)}."
            found = lookup(self._content.tree, above)
            if not (found is None or isinstance(found, dict)):
                return f"there is no {path}, as {above} is {with_article(type(found).__name__)}."
        return self._problem_of_group(path, value) if path in self._schema.groups else ""

    def _problem_of_group(self, path: str, value: object) -> str:
        if value is None:
            return ""
        if not isinstance(value, dict):
            names = ", ".join(self._schema.names_in(path)[:5])
            return f"{path} is a group of attributes ({names} ...), not {value!r}."
        fields, inner = self._schema.fields, flatten(value, f"{path}.")
        problems = (check_value(fields[at], each) for at, each in inner if at in fields)
        return " ".join(filter(None, problems))

    def _kind(self, path: str) -> str:
        if path in self._schema.lists:
            return f"a list of {len(self._parts_of(path))} parts, counted from 0"
        kind = self._schema.fields[path].type
        return "an array" if kind == "data" else f"of the type {kind}"

    def knows(self, path: str) -> bool:
        """Whether the schema describes the attribute at a dotted path."""
        return path in self._schema.fields

    def to_flat_dict(self) -> FlatDict:
        """Every value that is set, by dotted path, without arrays; others raise MetadataMissing."""
        self._content.complete()
        flat = dict(flatten(self._content.tree))
        for path in self._schema.lists:
            for number, part in enumerate(self._parts_of(path)):
                values = part.to_flat_dict().items()
                flat |= {f"{path}.{number}.{name}": value for name, value in values}
        where = self.path or flat.get("meta.filename") or "the input"
        return FlatDict(flat, self._schema, str(where))

    def info(self) -> None:
        """Print model, arrays, metadata and provenance."""
        from stpipe.models.describe import text

        print(text(self))  # noqa: T201 - what it is for

    def _repr_html_(self) -> str:
        from stpipe.models.display import html

        return html(self)

    def search(self, text: str) -> list[Found]:
        """Attributes whose path, FITS keyword, title or value contains ``text``, in any case."""
        values = self.to_flat_dict()
        wanted = text.lower()
        paths = {**dict.fromkeys(self._schema.metadata), **dict.fromkeys(values)}
        fields = ((path, self._schema.metadata.get(path, Field(path))) for path in paths)
        found = (Found(path, f.keyword, f.title, values.get(path)) for path, f in fields)
        return [entry for entry in found if wanted in "\n".join(map(str, entry)).lower()]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._attribute("", name)

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            object.__delattr__(self, name)
        else:
            self._delete("", name)

    def _attribute(self, group: str, name: str) -> Any:
        """Value or `Node` of ``name`` in ``group``."""
        path = f"{group}.{name}" if group else name
        if path in self._schema.lists:
            return self._parts_of(path)
        if path in self._schema.groups:
            return Node(self, path)
        value = self.get(path)
        if isinstance(value, dict) and not isinstance(value, Tagged):
            return Node(self, path)
        if value is None and path not in self._schema.fields:
            raise AttributeError(self._unknown(group, name))
        return value

    def _parts_of(self, path: str) -> Sequence[HasMetadata]:
        """The parts of a list."""
        self._content.complete()
        schema = self._schema.lists[path]
        return [Metadata(part, schema, "") for part in self._content.lists.get(path, ())]

    def _inside_list(self, path: str) -> tuple[HasMetadata, str] | None:
        """The part and the rest of a path such as ``slits.3.name``."""
        for name in self._schema.lists:
            number, _, rest = path.removeprefix(f"{name}.").partition(".")
            if path.startswith(f"{name}.") and number.isdecimal() and rest:
                parts = self._parts_of(name)
                return (parts[int(number)], rest) if int(number) < len(parts) else None
        return None

    def _assign(self, group: str, name: str, value: object) -> None:
        path = f"{group}.{name}" if group else name
        schema = self._schema
        known = path in schema.fields or path in schema.groups or path in schema.lists
        if not known and lookup(self._content.tree, path) is None:
            self._content.complete()
            if lookup(self._content.tree, path) is None:
                hint = f'set("{path}", ...) stores metadata outside the schema'
                raise AttributeError(f"{self._unknown(group, name)}; {hint}")
        self.set(path, value)

    def _delete(self, group: str, name: str) -> None:
        if name not in self._names(group):
            raise AttributeError(self._unknown(group, name))
        self.set(f"{group}.{name}" if group else name, None)

    def _unknown(self, group: str, name: str) -> str:
        known = self._names(group)
        return (
            f'{self._described}: {group or "the model"} has no "{name}"{did_you_mean(name, known)}'
        )

    def _names(self, group: str) -> list[str]:
        self._content.complete()
        there = lookup(self._content.tree, group) if group else self._content.tree
        return sorted({*self._schema.names_in(group), *(there or ())})

    @property
    def _described(self) -> str:
        name = type(self).__name__
        return f"{name} {self.path.name}" if self.path else name

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names("")})


class Node:
    """One group of metadata, such as ``meta.instrument``: a view, not a copy."""

    __slots__ = ("_owner", "_path")

    def __init__(self, owner: HasMetadata, path: str) -> None:
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_path", path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._owner._attribute(self._path, name)  # noqa: SLF001 - a view of its owner

    def __reduce__(self) -> tuple[Any, ...]:
        return Node, (self._owner, self._path)

    def __setattr__(self, name: str, value: object) -> None:
        self._owner._assign(self._path, name, value)  # noqa: SLF001

    def __delattr__(self, name: str) -> None:
        self._owner._delete(self._path, name)  # noqa: SLF001

    def __dir__(self) -> list[str]:
        return list(self._owner._names(self._path))  # noqa: SLF001

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_dict())

    def __contains__(self, name: object) -> bool:
        return name in self.to_dict()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """The values that are set, as nested dictionaries."""
        value = self._owner._raw(self._path)  # noqa: SLF001
        return dict(value) if isinstance(value, dict) else {}

    def __repr__(self) -> str:
        return f"<{self._path} {self.to_dict()!r}>"


class Metadata(HasMetadata):
    """Metadata of a file, read from its headers without touching a pixel.

    Attributes
    ----------
    model_type
        Name of the data model of the file.
    shapes
        Shape of every array, by attribute.
    """

    def __init__(self, content: Content, schema: Schema, model_type: str) -> None:
        self._content = content
        self._schema = schema
        self.model_type = model_type
        self.shapes = {path: array.shape for path, array in content.arrays.items()}

    def __repr__(self) -> str:
        return f"<Metadata of {self.path}: {self.model_type}>"
