"""How a product was made: one record for each step, appended and never rewritten.

Records are plain dictionaries kept in the product's metadata tree (`provenance`), so that the product
alone tells, and repeats, its whole history.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.models.history import HOOK, now
from stpipe.parameters.specs import PATHS, rules
from stpipe.system import software

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep
    from stpipe.references.selection import Reference

__all__ = [
    "done",
    "done_by",
    "hooked",
    "skipped",
]

HOOKS = ("pre_hooks", "post_hooks")


def done(step: ConfiguredStep, references: Mapping[str, Reference], started: str) -> dict[str, Any]:
    """The record of a step that ran; the product's own `suffix` is added to it."""
    record = done_by(step, references)
    names = record["parameters"]
    return {
        **record,
        "sources": {name: _without_folder(step.source_of(name)) for name in names},
        **({"warnings": list(step.warnings)} if step.warnings else {}),
        "software": dict(software.installed()),
        "started": started,
        "finished": now(),
    }


def done_by(step: ConfiguredStep, references: Mapping[str, Reference]) -> dict[str, Any]:
    """What decides the pixels of a step's product: its parameters and references."""
    # Hooks have records of their own, made when they ran.
    values = {n: v for n, v in step.science_parameters().items() if n not in HOOKS}
    # A product does not record folders.
    for name, rule in rules(type(step)).items():
        if rule.kind in PATHS and values.get(name) is not None:
            values[name] = Path(values[name]).name
    return {
        "step": step.qualified_name,
        "class": step.target(),
        "pipelines": step.pipelines(),
        "status": "COMPLETE",
        "parameters": values,
        "references": {t: r.record() for t, r in references.items()},
    }


def _without_folder(source: str) -> str:
    return Path(source).name if source.startswith("/") else source


def skipped(step: ConfiguredStep, reason: str, source: str = "") -> dict[str, Any]:
    """The record of a step that was skipped, with the reason and the source of `skip`."""
    return {
        "step": step.qualified_name,
        "class": step.target(),
        "status": "SKIPPED",
        "reason": reason,
        **({"source": _without_folder(source)} if source else {}),
        "finished": now(),
    }


def hooked(step: ConfiguredStep, when: str, hook: str, started: str) -> dict[str, Any]:
    """The record of a hook of `step` that ran; `when` is "pre_hooks" or "post_hooks"."""
    return {
        "step": step.qualified_name,
        "class": step.target(),
        "status": HOOK,
        "when": when,
        "hook": hook,
        "started": started,
        "finished": now(),
    }
