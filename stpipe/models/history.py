"""The history of a product: a dictionary for every step that made it, in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["problems", "records"]

_TEXTS = ("step", "class", "status", "reason", "when", "hook", "started", "finished")
_MAPPINGS = ("parameters", "sources", "references", "software")


def problems(history: Any) -> Iterator[str]:
    """What is wrong with a history, a sentence for each."""
    if not isinstance(history, (list, tuple)):
        yield f"provenance is {history!r}; allowed is a list of dictionaries."
        return
    for number, record in enumerate(history):
        if problem := _problem(record):
            yield f"provenance.{number}{problem}."


def records(history: Any) -> list[Mapping[str, Any]]:
    """The records that can be understood."""
    return [r for r in history if not _problem(r)] if isinstance(history, list) else []


def _problem(record: Any) -> str:
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
