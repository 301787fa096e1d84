"""Listings of steps and pipelines, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from stpipe import registry
from stpipe.cli.common.text import heading

__all__ = ["as_json", "lines"]


def lines() -> Iterator[str]:
    """All steps and pipelines, one line each; those of other packages with the package's name."""
    entries = list(registry.entries())
    width = max(len(entry.alias) for entry in entries) + 2
    for kind, title in (("pipeline", "Pipelines:"), ("step", "Steps:")):
        yield heading(title)
        for entry in (e for e in entries if e.kind == kind):
            package = "" if entry.package == registry.OWN else f" ({entry.package})"
            yield f"  {entry.alias:<{width}}{entry.summary}{package}"


def as_json() -> str:
    """The same as JSON: alias, kind, class, package and summary of each."""
    import json

    found = [
        {
            "alias": entry.alias,
            "kind": entry.kind,
            "class": entry.target,
            "package": entry.package,
            "summary": entry.summary,
        }
        for entry in registry.entries()
    ]
    return json.dumps(found, indent=1)
