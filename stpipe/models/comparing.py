"""In what two products differ: metadata, parameters, references, arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from stpipe.models.arrays import Array
from stpipe.models.base import DataModel
from stpipe.models.describing import arrays_of

__all__ = ["Difference", "Tolerance", "compare"]

# These differ between any two files.
IGNORED = frozenset({"meta.date", "meta.filename", "provenance"})
_ABSENT = "absent"


class Difference(NamedTuple):
    """One thing that differs: ``kind`` is model, metadata, parameter, reference or array."""

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
        if "f" not in (first.dtype.kind, second.dtype.kind):
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
    return found


def _metadata(model: DataModel) -> dict[str, Any]:
    return {path: v for path, v in model.to_flat_dict().items() if path not in IGNORED}


def _parameters(model: DataModel) -> dict[str, Any]:
    records = model.provenance
    values = {
        f"{record.get('step')}.{name}": value
        for record in records
        for name, value in record.get("parameters", {}).items()
    }
    return values | {f"{r.get('step')}.status": r.get("status") for r in records}


def _references(model: DataModel) -> dict[str, Any]:
    return {
        f"{record.get('step')}.{kind}": _named(reference)
        for record in model.provenance
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


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or (_is_nan(one) and _is_nan(other))
    except (TypeError, ValueError):
        return False


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


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
        yield from _tables(
            name, attrgetter(attribute)(owner), attrgetter(attribute)(other), tolerance
        )
        return
    count, largest = 0, 0.0
    where: tuple[int, ...] = ()
    for plane in np.ndindex(owner.shapes[attribute][:-2]):
        one, two = owner.read(attribute, plane), other.read(attribute, plane)
        differ = tolerance.differ(one, two)
        if differ.any():
            first_here = (*plane, *(int(n) for n in np.argwhere(differ)[0]))
            where = where or first_here
            count += int(np.count_nonzero(differ))
            largest = max(largest, _largest(one[differ], two[differ]))
    if count:
        share = f"{count} of {int(np.prod(owner.shapes[attribute]))} differ"
        place = ", ".join(map(str, where))
        yield Difference("array", name, share, f"by at most {largest:.6g}", f"first at [{place}]")


def _largest(one: Array, two: Array) -> float:
    apart = np.abs(one.astype(np.float64) - two.astype(np.float64))
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else float("nan")


def _tables(name: str, one: Array, two: Array, tolerance: Tolerance) -> Iterator[Difference]:
    if one.dtype.names != two.dtype.names:
        yield Difference("array", name, str(one.dtype.names), str(two.dtype.names))
        return
    for column in one.dtype.names or ():
        count = int(np.count_nonzero(tolerance.differ(one[column], two[column])))
        if count:
            yield Difference("array", f"{name}[{column}]", f"{count} cells differ", "")


def _owner(model: DataModel, name: str) -> tuple[DataModel, str]:
    """The model or part that has an array, and its name there."""
    words = name.split(".")
    for at, word in enumerate(words):
        if word.isdecimal():
            part = attrgetter(".".join(words[:at]))(model)[int(word)]
            return _owner(part, ".".join(words[at + 1 :]))
    return model, name
