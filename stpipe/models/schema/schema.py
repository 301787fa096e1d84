"""The schema dialect: JSON Schema with arrays and a mapping to FITS.

A schema file is JSON. Beside ``type``, ``properties``, ``allOf``, ``$ref``, ``enum``, ``default``,
``title`` and ``required`` of JSON Schema it uses

``"type": "data"``
    an array, or a table when ``dtype`` is a list of columns ``{"name": ..., "dtype": ...}``, with
    the ``shape`` of their cells, or only its ``ndim``; more columns are allowed
``fits_keyword``
    the FITS keyword of a metadata attribute
``fits_hdu``
    the extension of an array, or the one whose header holds the keyword (default: primary)
``ndim``, ``max_ndim``, ``dtype``
    number of dimensions and numpy dtype of an array
``shape_like``
    the array, such as ``data``, whose shape this one must have: its last two axes, and with as many
    dimensions all of them (before the last two an axis of length 1 stands for all)

``$ref`` names a file relative to the file it stands in, or one that ships with the package,
optionally with a JSON pointer (``dq_def.schema.json#/properties/dq_def``).

An ``"type": "array"`` whose ``items`` hold arrays or FITS keywords is a list of parts, such as the
slits of an exposure: the extensions of part n have EXTVER n.

`Schema.load` flattens a file into attribute paths such as ``meta.instrument.name``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stpipe.errors import InputError, did_you_mean
from stpipe.models.schema.fields import Field
from stpipe.system import package_data
from stpipe.system.safe_yaml import whole_number
from stpipe.system.text import with_article

__all__ = ["Schema"]

# The words that fields have attributes for; `Field.extra` holds the others, which the meta-schema
# knows.
_OWN = frozenset(
    [
        "$schema",
        "default",
        "description",
        "dtype",
        "enum",
        "fits_hdu",
        "fits_keyword",
        "max_ndim",
        "ndim",
        "required",
        "shape_like",
        "title",
        "type",
    ]
)


@dataclass(frozen=True)
class Schema:
    """A flattened schema: every attribute path in the order of the file.

    ``lists`` holds the schema of the parts of each list, by attribute path; ``inside`` tells which
    lists of the file lead to this schema, when it is that of a part.
    """

    path: Path
    title: str
    fields: Mapping[str, Field]
    groups: Mapping[str, str]
    required: frozenset[str]
    lists: Mapping[str, Schema]
    inside: tuple[str, ...] = ()

    @classmethod
    def load(cls, name: str | Path, relative_to: Path | None = None) -> Schema:
        """The schema in file ``name``, a path or the name of one that ships with the package.

        Raises
        ------
        InputError
            When a file is missing, is not JSON, refers to itself, or misuses the dialect.
        """
        return _compiled(_find(str(name), relative_to or Path.cwd()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reload, (self.path, self.inside)

    @property
    def has_home(self) -> bool:
        """Whether something in it has a place in FITS."""
        return any(field.is_array or field.keyword for field in self.fields.values())

    @functools.cached_property
    def arrays(self) -> Mapping[str, Field]:
        """The arrays and tables."""
        return {path: found for path, found in self.fields.items() if found.is_array}

    @functools.cached_property
    def metadata(self) -> Mapping[str, Field]:
        """Everything but arrays."""
        return {path: found for path, found in self.fields.items() if not found.is_array}

    @functools.cached_property
    def keywords(self) -> Mapping[str, tuple[Field, ...]]:
        """The attributes with a FITS keyword, by extension."""
        found: dict[str, list[Field]] = {}
        for entry in self.metadata.values():
            if entry.keyword:
                found.setdefault(entry.hdu, []).append(entry)
        return {hdu: tuple(entries) for hdu, entries in found.items()}

    def names_in(self, group: str) -> list[str]:
        """Names of the attributes and groups directly in ``group`` ("" is the top)."""
        start = len(group) + 1 if group else 0
        prefix = f"{group}." if group else ""
        paths = [*self.fields, *self.groups, *self.lists]
        return sorted({p[start:].partition(".")[0] for p in paths if p.startswith(prefix)} - {""})


@functools.cache
def _compiled(path: Path) -> Schema:
    schema = _flattened(_read(path), path, (f"{path}#",), ())
    if not _ships(path):
        from stpipe.models.schema.checks import check_places

        check_places(schema)
    return schema


def _ships(path: Path) -> bool:
    """Whether a schema is one of the package, which its tests have checked."""
    return path.parent == package_data.folder("schemas").resolve()


def _reload(path: Path, inside: tuple[str, ...]) -> Schema:
    schema = _compiled(path)
    for name in inside:
        schema = schema.lists[name]
    return schema


def _flattened(
    document: dict[str, Any], path: Path, trail: tuple[str, ...], inside: tuple[str, ...]
) -> Schema:
    flattener = _Flattener()
    flattener.visit(document, "", path, trail)
    parts = {
        at: _flattened(items, file, there, (*inside, at))
        for at, (items, file, there) in flattener.lists.items()
    }
    lists = {at: replace(part, path=path) for at, part in parts.items() if part.has_home}
    fields = {p: _field(p, leaf, path) for p, leaf in flattener.leaves.items() if p not in lists}
    return Schema(
        path=path,
        title=str(document.get("title", "")),
        fields=MappingProxyType(fields),
        groups=MappingProxyType(flattener.groups),
        required=frozenset(flattener.required),
        lists=MappingProxyType(lists),
        inside=inside,
    )


@functools.cache
def _find(name: str, here: Path) -> Path:
    shipped = package_data.folder("schemas")
    for place in (here / name, shipped / name):
        if place.is_file():
            return place.resolve()
    raise InputError(
        f"There is no schema {name}{did_you_mean(name, [p.name for p in shipped.iterdir()])}; "
        f"looked in {here} and {shipped}."
    )


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_int=whole_number)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The schema {path} cannot be read: {error}.") from error
    if not isinstance(document, dict):
        raise InputError(
            f"The schema {path} holds {with_article(type(document).__name__)}, not an object."
        )
    if not _ships(path):
        from stpipe.models.schema.checks import check_document

        check_document(document, path)
    return document


class _Flattener:
    """Walk a schema and everything it refers to, collecting attribute paths."""

    def __init__(self) -> None:
        self.leaves: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, str] = {}
        self.required: set[str] = set()
        self.lists: dict[str, tuple[dict[str, Any], Path, tuple[str, ...]]] = {}

    def visit(self, node: dict[str, Any], at: str, file: Path, trail: tuple[str, ...]) -> None:
        for name in node.get("required", ()):
            self.required.add(_join(at, name))
        if "$ref" in node:
            self._follow(node["$ref"], at, file, trail)
        for part in node.get("allOf", ()):
            self.visit(part, at, file, trail)
        for name, child in node.get("properties", {}).items():
            self.visit(child, _join(at, name), file, trail)
        if not node.keys() & {"properties", "allOf", "$ref"}:
            if at:
                self.leaves.setdefault(at, {}).update(node)
            if node.get("items", {}).keys() & {"properties", "allOf", "$ref"}:
                self.lists[at] = (node["items"], file, trail)
        elif at and "properties" in node:
            self.groups[at] = node.get("title") or self.groups.get(at, "")

    def _follow(self, ref: str, at: str, file: Path, trail: tuple[str, ...]) -> None:
        name, _, pointer = ref.partition("#")
        target = _find(name, file.parent) if name else file
        here = f"{target}#{pointer}"
        if here in trail:
            chain = " -> ".join(Path(step.partition("#")[0]).name for step in (*trail, here))
            raise InputError(f"The schema {file} refers to itself: {chain}.")
        self.visit(_point(_read(target), pointer, file), at, target, (*trail, here))


def _point(document: dict[str, Any], pointer: str, file: Path) -> dict[str, Any]:
    node: Any = document
    for part in pointer.split("/")[1:]:
        try:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node[int(name) if isinstance(node, list) else name]
        except (LookupError, TypeError, ValueError):
            raise InputError(
                f'The schema {file} refers to "#{pointer}", which is absent.'
            ) from None
    if not isinstance(node, dict):
        raise InputError(f'The schema {file} refers to "#{pointer}", which is not a schema.')
    return node


def _join(group: str, name: str) -> str:
    return f"{group}.{name}" if group else name


def _field(path: str, leaf: dict[str, Any], file: Path) -> Field:
    is_array = leaf.get("type") == "data"
    return Field(
        path=path,
        type=leaf.get("type"),
        keyword=leaf.get("fits_keyword"),
        hdu=leaf.get("fits_hdu", "PRIMARY").upper(),
        enum=tuple(leaf.get("enum", ())),
        default=leaf.get("default"),
        title=leaf.get("title", ""),
        dtype=_dtype(path, leaf["dtype"], file) if is_array else None,
        ndim=leaf.get("ndim"),
        max_ndim=leaf.get("max_ndim"),
        shape_like=leaf.get("shape_like"),
        cell_ndim=_cell_ndim(leaf.get("dtype")),
        extra={key: value for key, value in leaf.items() if key not in _OWN},
    )


def _dtype(path: str, spec: Any, file: Path) -> np.dtype[Any]:
    try:
        if isinstance(spec, list):
            spec = [(c["name"], c["dtype"], tuple(c.get("shape", ()))) for c in spec]
        dtype: np.dtype[Any] = np.dtype(spec)
    except ValueError as error:  # of columns
        raise InputError(f'The schema {file}: dtype {spec!r} of "{path}": {error}.') from error
    names = [name.upper() for name in dtype.names or ()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f'The schema {file}: "{path}" has two columns {twice[0]}, in any case.')
    return dtype


def _cell_ndim(spec: Any) -> dict[str, int]:
    columns = spec if isinstance(spec, list) else []
    return {column["name"]: column["ndim"] for column in columns if "ndim" in column}
