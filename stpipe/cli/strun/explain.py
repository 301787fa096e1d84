"""Tables of parameters: every value and its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stpipe.cli.common.text import columns, heading
from stpipe.parameters.settings import Parameters
from stpipe.parameters.specs import OVERRIDE, UNIVERSAL

if TYPE_CHECKING:
    from stpipe.core.step import Step

__all__ = ["as_json", "lines"]


def lines(step: Step, source: str) -> Iterator[str]:
    """A line for each parameter: name, value, source."""
    yield heading(f"{step.name}: parameters{f' for {source}' if source else ''}")
    shown = [row for row in _rows(step.current_parameters()) if _tells(*row[:2])]
    table = [["name", "value", "source"]]
    table += [[name, _text(value), origin] for name, value, origin in shown]
    yield from columns(table)
    yield f"  (not shown, at their defaults: {', '.join(sorted(UNIVERSAL))}, override_*)"


def _tells(name: str, value: object) -> bool:
    """Whether to show a row: parameters of every step are shown only if they are set."""
    plain = name.rpartition(".")[2]
    usual = value in (None, False, [])
    return not (usual and (plain in UNIVERSAL or plain.startswith(OVERRIDE)))


def as_json(step: Step, source: str) -> dict[str, Any]:
    """The same as JSON, complete."""
    found = {
        name: {"value": value, "source": origin}
        for name, value, origin in _rows(step.current_parameters())
    }
    return {"class": step.target(), "input": source or None, "parameters": found}


def _rows(parameters: Parameters, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    for name, value in parameters.values.items():
        yield prefix + name, value, parameters.sources[name]
    for name, substep in parameters.steps.items():
        yield from _rows(substep, f"{prefix}steps.{name}.")


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
