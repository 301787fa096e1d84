"""The content of a file or model, as plain data and as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stpipe.models import history
from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.asdf_yaml import Tagged
from stpipe.models.io import asdf_objects
from stpipe.models.io.content import Content
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Array, Stored, blocks_of

__all__ = [
    "Described",
    "Holder",
    "arrays_of",
    "as_json",
    "describe",
    "printable",
    "statistics",
    "text",
    "tree_lines",
]

_WIDTH = 80
_MOST_PARTS = 5
# The source of values that were not set.
_DEFAULT = "default"


class Holder(Protocol):
    """What is described: a model, or the metadata of a file."""

    _content: Content

    @property
    def path(self) -> Path | None:
        """The file that it was opened from."""
        ...

    @property
    def schema(self) -> Schema:
        """What it may hold."""
        ...

    def to_flat_dict(self) -> dict[str, Any]:
        """Every value that is set, by dotted path."""
        ...


@dataclass(frozen=True)
class Described:
    """One array: where it is, what it is, and its statistics when they were asked for."""

    name: str
    extension: str
    shape: tuple[int, ...]
    dtype: str
    statistics: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        found = asdict(self) | {"shape": list(self.shape)}
        return found if self.statistics else {k: v for k, v in found.items() if k != "statistics"}


def describe(holder: Holder, *, with_statistics: bool = False) -> dict[str, Any]:
    """Model, arrays, metadata and provenance as plain data that JSON can hold."""
    values = holder.to_flat_dict()
    provenance = values.pop("provenance", [])
    return {
        "path": str(holder.path) if holder.path else None,
        "model": getattr(holder, "model_type", type(holder).__name__),
        "arrays": [each.to_dict() for each in arrays_of(holder, with_statistics=with_statistics)],
        "metadata": {path: as_json(value) for path, value in values.items()},
        "provenance": as_json(history.records(provenance)),
    }


def arrays_of(holder: Holder, *, with_statistics: bool = False) -> list[Described]:
    """Every array, those of parts of lists included, in the order of the schema."""
    return list(_arrays(holder._content, holder.schema, "", with_statistics))  # noqa: SLF001 - read only


def statistics(array: Array | Stored) -> dict[str, float]:
    """Least and largest value, mean, standard deviation, and how many are not finite.

    The array is read in pieces; nothing of it is kept.
    """
    pieces = [_piece(block) for block in blocks_of(array)]
    columns = np.array(pieces or [(0.0,) * 6]).T
    sizes, least, largest, means, squares, blanks = columns
    count, blank = int(sizes.sum()), int(blanks.sum())
    if not count:
        return {"not_finite": blank}
    mean = float(np.average(means, weights=sizes))
    spread = math.sqrt(float((squares + sizes * (means - mean) ** 2).sum()) / count)
    found = {"min": float(np.nanmin(least)), "max": float(np.nanmax(largest))}
    return found | {"mean": mean, "std": spread, "not_finite": blank}


def _piece(block: Array) -> tuple[float, ...]:
    """Finite values, the least and largest of them, mean, squares about it, values not finite."""
    values = (block[np.isfinite(block)] if block.dtype.kind == "f" else block).astype(np.float64)
    if not values.size:
        return (0, math.nan, math.nan, 0, 0, block.size)
    size, mean = values.size, values.mean()
    squares = float(np.square(values - mean).sum())
    return (size, values.min(), values.max(), mean, squares, block.size - size)


def text(holder: Holder, *, with_statistics: bool = False) -> str:
    """Model, arrays, metadata and provenance for a person, 80 columns wide."""
    found = describe(holder)
    lines = [f"{holder.path.name if holder.path else 'in memory'}: {found['model']}", ""]
    lines += _array_lines(holder, with_statistics=with_statistics)
    lines += ["metadata", *tree_lines(found["metadata"])]
    if found["provenance"]:
        lines += ["", "provenance", *_provenance_lines(found["provenance"])]
    return "\n".join(map(printable, lines))


def printable(line: str) -> str:
    """A line without control characters of terminals."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def tree_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Dotted paths as an indented tree, values in a column."""
    before: list[str] = []
    for path, value in values.items():
        *groups, name = path.removeprefix("meta.").split(".")
        common = 0
        while common < min(len(groups), len(before)) and groups[common] == before[common]:
            common += 1
        for depth, group in enumerate(groups[common:], start=common):
            yield f"{'  ' * (depth + 1)}{group}"
        before = groups
        yield _cut(f"{'  ' * (len(groups) + 1) + name:<30}  {_short(value)}")


def _arrays(
    content: Content, schema: Schema, prefix: str, with_statistics: bool
) -> Iterator[Described]:
    for path, field in schema.arrays.items():
        if path in content.arrays:
            array = content.arrays[path]
            shape = tuple(array.shape)
            wanted = with_statistics and array.dtype.names is None
            found = statistics(array) if wanted else None
            kind = "table" if array.dtype.names else str(array.dtype)
            yield Described(f"{prefix}{path}", field.hdu, shape, kind, found)
    for path, parts in content.lists.items():
        for number, part in enumerate(parts):
            inner = f"{prefix}{path}.{number}."
            yield from _arrays(part, schema.lists[path], inner, with_statistics)


def _array_lines(holder: Holder, *, with_statistics: bool) -> Iterator[str]:
    found = arrays_of(holder, with_statistics=with_statistics)
    kept = [each for each in found if _part_number(each.name) < _MOST_PARTS]
    if not found:
        return
    yield "arrays"
    width = max(len(each.name) for each in kept)
    for each in kept:
        shape = " x ".join(map(str, each.shape))
        yield f"  {each.name:<{width}}  {each.dtype:<8}  {shape:<18}  {each.extension}"
        if each.statistics:
            pairs = (f"{name} {value:.5g}" for name, value in each.statistics.items())
            yield from _wrapped(", ".join(pairs))
    if len(kept) < len(found):
        yield f"  and {len(found) - len(kept)} more, in further parts"
    yield ""


def _part_number(name: str) -> int:
    return next((int(word) for word in name.split(".") if word.isdecimal()), 0)


def _provenance_lines(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    software: Any = None
    for record in records:
        when = str(record.get("finished", ""))[:19].replace("T", " ")
        yield f"  {record.get('step', '?'):<20} {record.get('status', ''):<10} {when}"
        if record.get("reason"):
            yield from _wrapped(record["reason"])
        if record.get("hook"):
            when = record.get("when", "hook").removesuffix("s")
            yield from _wrapped(f"{when} {record['hook']}")
        yield from _changed_parameters(record)
        for kind, reference in record.get("references", {}).items():
            sum_ = f" sha256:{reference['sha256'][:12]}" if "sha256" in reference else ""
            yield _cut(f"      {kind}: {reference.get('name', '?')}{sum_}")
        if record.get("software") and record["software"] != software:
            software = record["software"]
            yield from _wrapped(", ".join(f"{name} {v}" for name, v in software.items()))


def _changed_parameters(record: Mapping[str, Any]) -> Iterator[str]:
    """The parameters that differ from the defaults, with their sources."""
    sources = record.get("sources", {})
    for name, value in record.get("parameters", {}).items():
        source = sources.get(name, "")
        if source != _DEFAULT:
            yield _cut(f"      {name} = {value!r}{f'  ({source})' if source else ''}")


def _wrapped(words: str) -> list[str]:
    import textwrap

    indent = " " * 6
    return textwrap.wrap(words, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _short(value: object) -> str:
    found = str(value) if isinstance(value, str) else repr(value)
    return " ".join(found.split())


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."


def as_json(value: object) -> Any:
    """A value as JSON has it; objects are named, whether they are revived or not."""
    if isinstance(value, Tagged) and not value.tag.startswith(asdf_yaml.YAML):
        return f"<{asdf_objects.kind_of(value)}>"
    if isinstance(value, dict):
        return {str(name): as_json(child) for name, child in value.items()}
    if isinstance(value, list):
        return [as_json(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
