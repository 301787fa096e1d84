"""The history of a product: a dictionary for every step that made it, in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

__all__ = [
    "HOOK",
    "append",
    "now",
    "part_in",
    "part_of",
    "problems",
    "records",
    "steps_in",
    "suffix_of",
    "suffixes",
    "suffixes_in",
]

_TEXTS = ("step", "class", "status", "reason", "when", "hook", "started", "finished")
_MAPPINGS = ("parameters", "sources", "references", "software")


class HasHistory(Protocol):
    """A model, with one record for every step that made it."""

    provenance: list[dict[str, Any]]


def problems(history: object) -> Iterator[str]:
    """What is wrong with a history, a sentence for each."""
    if not isinstance(history, (list, tuple)):
        yield f"provenance is {history!r}; allowed is a list of dictionaries."
        return
    for number, record in enumerate(history):
        if problem := _problem(record):
            yield f"provenance.{number}{problem}."


def records(history: object) -> list[Mapping[str, Any]]:
    """The valid records."""
    return [r for r in history if not _problem(r)] if isinstance(history, list) else []


def _problem(record: object) -> str:
    if not isinstance(record, Mapping):
        return f" is {record!r}; allowed is a dictionary"
    for kind, names, words in ((str, _TEXTS, "text"), (Mapping, _MAPPINGS, "a dictionary")):
        for name in names:
            if name in record and not isinstance(record[name], kind):
                return f".{name} is {record[name]!r}; allowed is {words}"
    for name, reference in record.get("references", {}).items():
        if not isinstance(reference, Mapping):
            return f".references.{name} is {reference!r}; allowed is a dictionary"
    return ""


HOOK = "HOOK"  # the status of a record that is about a hook


def now() -> str:
    """UTC in ISO 8601 to the millisecond."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def append(model: HasHistory, record: Mapping[str, Any]) -> None:
    """Add a record to a product's history."""
    model.provenance = [*(model.provenance or []), dict(record)]


def suffix_of(model: HasHistory) -> str:
    """The suffix that the last step which ran gave to this product; empty when none did."""
    records = model.provenance or []
    return next((r["suffix"] for r in reversed(records) if r.get("suffix")), "")


def part_of(model: HasHistory) -> str:
    """The label of the part of an exposure that this is; empty for a whole one."""
    return part_in(model.provenance or [])


def part_in(history: Sequence[Mapping[str, Any]]) -> str:
    """The label of the part of an exposure that a history is about; empty for a whole one."""
    labels = [r["part"] for r in history if "part" in r]
    return str(labels[-1]) if labels else ""


def suffixes(model: HasHistory) -> frozenset[str]:
    """Every suffix that this product or its ancestors had."""
    return suffixes_in(model.provenance or [])


def suffixes_in(history: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Every suffix in a history."""
    return frozenset(r["suffix"] for r in history if r.get("suffix"))


def steps_in(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps that ran, in order, each once."""
    ran = (record for record in history if record.get("status") == "COMPLETE")
    return list(dict.fromkeys(str(record["step"]) for record in ran if "step" in record))
