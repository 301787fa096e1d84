"""The differences of two products: metadata, parameters, references, arrays."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from stpipe.models.base import DataModel
from stpipe.models.describe import arrays_of
from stpipe.models.formats.fits_cards import Header
from stpipe.models.formats.fits_hdus import Hdu
from stpipe.models.io import asdf_objects
from stpipe.models.io.content import Content
from stpipe.models.io.units import DESCRIPTION, UNIT
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Array, Stored
from stpipe.system.text import counted

__all__ = ["Difference", "Tolerance", "compare"]

# These differ between any two files.
IGNORED = frozenset({"meta.date", "meta.filename", "provenance"})
_ABSENT = "absent"


class Difference(NamedTuple):
    """One thing that differs.

    ``kind`` is model, metadata, parameter, reference, array, unit, keyword or extension; the last two
    are those that the schema does not know.
    """

    kind: str
    name: str
    first: Any
    second: Any
    note: str = ""


@dataclass(frozen=True)
class Tolerance:
    """Floating-point values agree when ``|a - b| <= absolute + relative * |b|``; NaN equals NaN."""

    relative: float = 0.0
    absolute: float = 0.0

    def differ(self, first: Array, second: Array) -> Array:
        """Where two arrays of the same shape differ."""
        if not {first.dtype.kind, second.dtype.kind} & {"f", "c"}:
            return np.asarray(first != second)
        close = np.isclose(first, second, rtol=self.relative, atol=self.absolute, equal_nan=True)
        return ~np.asarray(close)


def compare(
    first: DataModel, second: DataModel, tolerance: Tolerance | None = None
) -> list[Difference]:
    """Every difference between two models, without holding their arrays in memory."""
    names = type(first).__name__, type(second).__name__
    found = [Difference("model", "class", *names)] if names[0] != names[1] else []
    found += _mappings("metadata", _metadata(first), _metadata(second))
    found += _mappings("parameter", _parameters(first), _parameters(second))
    found += _mappings("reference", _references(first), _references(second))
    found += _arrays(first, second, tolerance or Tolerance())
    contents = [(each._content, each.schema) for each in (first, second)]  # noqa: SLF001 - read only
    found += _mappings("keyword", *(_keywords(*each) for each in contents))
    found += _mappings("extension", *(_extensions(content) for content, _ in contents))
    return found


def _metadata(model: DataModel) -> dict[str, Any]:
    source = model._content.source  # noqa: SLF001 - read only
    return {
        path: asdf_objects.comparable(value, source)
        for path, value in model.to_flat_dict().items()
        if path not in IGNORED
    }


def _runs(model: DataModel) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every record of the history with the name of its step, numbered when it ran more than once."""
    seen: Counter[str] = Counter()
    for record in model.provenance:
        name = f"{record.get('step')}{' hook' if 'hook' in record else ''}"
        seen[name] += 1
        yield (f"{name} ({seen[name]})" if seen[name] > 1 else name), record


def _parameters(model: DataModel) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for run, record in _runs(model):
        about = {**record.get("parameters", {}), "status": record.get("status")}
        about |= {"hook": record["hook"]} if "hook" in record else {}
        values |= {f"{run}.{name}": value for name, value in about.items()}
    return values


def _references(model: DataModel) -> dict[str, Any]:
    return {
        f"{run}.{kind}": _named(reference)
        for run, record in _runs(model)
        for kind, reference in record.get("references", {}).items()
    }


def _named(reference: Mapping[str, Any]) -> str:
    """The content of a reference counts; two files of one name may differ."""
    sum_ = str(reference.get("sha256", ""))[:12]
    return f"{reference.get('name')}{f' sha256:{sum_}' if sum_ else ''}"


def _mappings(
    kind: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[Difference]:
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name, _ABSENT), second.get(name, _ABSENT)
        if not _same(one, other):
            yield Difference(kind, name, one, other)


def _same(one: object, other: object) -> bool:
    try:
        # NaN equals NaN, also within lists.
        return bool(one == other) or repr(one) == repr(other)
    except (TypeError, ValueError):
        return False


def _arrays(first: DataModel, second: DataModel, tolerance: Tolerance) -> Iterator[Difference]:
    ours, theirs = ({each.name: each for each in arrays_of(model)} for model in (first, second))
    for name in dict.fromkeys([*ours, *theirs]):
        if name not in ours or name not in theirs:
            words = [_words(found.get(name)) for found in (ours, theirs)]
            yield Difference("array", name, *words)
        elif _words(ours[name]) != _words(theirs[name]):
            yield Difference("array", name, _words(ours[name]), _words(theirs[name]))
        else:
            yield from _values(name, first, second, tolerance)


def _words(described: Any) -> str:
    if described is None:
        return _ABSENT
    return f"{described.dtype} {' x '.join(map(str, described.shape))}"


def _values(
    name: str, first: DataModel, second: DataModel, tolerance: Tolerance
) -> Iterator[Difference]:
    (owner, attribute), (other, _) = _owner(first, name), _owner(second, name)
    if owner.schema.arrays[attribute].is_table:
        tables = attrgetter(attribute)(owner), attrgetter(attribute)(other)
        yield from _tables(name, *tables, tolerance)
        units = ({f"{name}[{c}]": u for c, u in o.units(attribute).items()} for o in (owner, other))
        yield from _mappings("unit", *units)
        return
    count = infinite = 0
    largest = 0.0
    where: tuple[int, ...] = ()
    for plane in np.ndindex(owner.shapes[attribute][:-2]):
        one, two = owner.read(attribute, plane), other.read(attribute, plane)
        differ = tolerance.differ(one, two)
        if differ.any():
            first_here = (*plane, *(int(n) for n in np.argwhere(differ)[0]))
            where = where or first_here
            count += int(np.count_nonzero(differ))
            apart = _apart(one[differ], two[differ])
            infinite += int(np.count_nonzero(differ)) - apart.size
            largest = max(largest, float(apart.max(initial=0.0)))
    if count:
        share = _share(count, str(np.prod(owner.shapes[attribute], dtype=np.int64)))
        most = [f"by at most {largest:.6g}"] if count > infinite else []
        most += [f"{infinite} not finite in one"] if infinite else []
        place = ", ".join(map(str, where))
        yield Difference("array", name, share, ", ".join(most), f"first at [{place}]")


def _apart(one: Array, two: Array) -> Array:
    """Absolute differences where both values are finite."""
    finite = np.isfinite(one) & np.isfinite(two)
    return np.abs(one[finite].astype(np.float64) - two[finite].astype(np.float64))


def _share(count: int, total: str) -> str:
    """How many of all differ."""
    return f"{count} of {total} {'differs' if count == 1 else 'differ'}"


def _tables(name: str, one: Array, two: Array, tolerance: Tolerance) -> Iterator[Difference]:
    for column in dict.fromkeys([*(one.dtype.names or ()), *(two.dtype.names or ())]):
        words = [_column_words(table, column) for table in (one, two)]
        if words[0] != words[1]:
            yield Difference("array", f"{name}[{column}]", *words)
        elif count := int(np.count_nonzero(tolerance.differ(one[column], two[column]))):
            share = _share(count, counted(one[column].size, "cell"))
            yield Difference("array", f"{name}[{column}]", share, "")


def _column_words(table: Array, column: str) -> str:
    if column not in (table.dtype.names or ()):
        return _ABSENT
    cells = table[column]
    kind = "text" if cells.dtype.kind == "S" else str(cells.dtype.newbyteorder("="))
    return " x ".join([kind, *map(str, cells.shape[1:])])


def _keywords(content: Content, schema: Schema) -> dict[str, Any]:
    """Keywords that the schema does not know, by extension."""
    found: dict[str, Any] = {}
    for hdu, header in content.headers.items():
        known = {field.keyword for field in schema.keywords.get(hdu, ())}
        found |= {f"{hdu} {name}": v for name, v in _values_in(header).items() if name not in known}
    return found


def _values_in(header: Header) -> dict[str, Any]:
    """The keywords of a header with a value, without those of its format."""
    return {
        card.keyword: card.value
        for card in header
        if card.value is not None
        and not card.is_structural
        and not card.keyword.startswith((UNIT, DESCRIPTION))
    }


def _extensions(content: Content) -> dict[str, Any]:
    """The extensions that the schema does not know: what they hold, and a checksum of it."""
    found: dict[str, Any] = {}
    for unit in content.extras:
        name = f"{unit.name},{unit.version}"
        found[name] = f"{unit.size} bytes md5:{_md5(unit)}"
        if unit.start:
            found |= {f"{name} {key}": value for key, value in _values_in(unit.header).items()}
    return found


def _md5(unit: Hdu) -> str:
    found = hashlib.md5(usedforsecurity=False)
    for piece in Stored(unit.source, unit.offset, np.dtype("u1"), (unit.size,)).pieces():
        found.update(piece)
    return found.hexdigest()[:12]


def _owner(model: DataModel, name: str) -> tuple[DataModel, str]:
    """The model or part that has an array, and its name there."""
    words = name.split(".")
    for at, word in enumerate(words):
        if word.isdecimal():
            part = attrgetter(".".join(words[:at]))(model)[int(word)]
            return _owner(part, ".".join(words[at + 1 :]))
    return model, name
