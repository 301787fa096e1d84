"""Belonging: whether a saved product is what a run would make itself, so that it can go on from there.

A product belongs when it is of the same exposure, and its history lists the same steps with the same
parameters, references and hooks as the run would take up to there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe import hooks
from stpipe.core import provenance
from stpipe.graph.nodes import Node, Part
from stpipe.graph.tracing import Graph
from stpipe.models.history import HOOK, append, now, suffix_of
from stpipe.references.checksums import sha256

if TYPE_CHECKING:
    from stpipe.core.step import Step
    from stpipe.models import DataModel

__all__ = ["forget", "note", "reasons", "suffix"]

STOPPED = "STOPPED"  # the status of a record that says from which exposure a stopped run came
# What tells exposures apart, whatever was done to them.
_IDENTITY = (
    "meta.observation.observation_id",
    "meta.observation.program_number",
    "meta.observation.observation_number",
    "meta.observation.visit_number",
    "meta.observation.visit_group",
    "meta.observation.sequence_id",
    "meta.observation.activity_id",
    "meta.observation.exposure_number",
    "meta.observation.date",
    "meta.observation.time",
    "meta.exposure.start_time",
    "meta.exposure.segment_number",
    "meta.instrument.name",
    "meta.instrument.detector",
    "meta.instrument.filter",
    "meta.instrument.pupil",
)

Record = Mapping[str, Any]


def suffix(model: DataModel) -> str:
    """The suffix that a product has from its step; empty for an exposure."""
    return suffix_of(model)


def note(model: DataModel, source: Path, pipeline: Step, stop: str) -> None:
    """Write into a product of a stopped run which bytes it came from."""
    record = {
        "step": pipeline.name,
        "class": pipeline.target(),
        "status": STOPPED,
        "reason": f"stopped after {stop}",
        "input": {"name": source.name, "sha256": sha256(source)},
        "finished": now(),
    }
    append(model, record)


def forget(model: DataModel) -> None:
    """Take away what `note` wrote: the run goes on as if it had not stopped."""
    model.provenance = [r for r in model.provenance or [] if r["status"] != STOPPED]


def reasons(
    graph: Graph, place: tuple[Node, int], path: Path, still: Collection[str]
) -> Iterator[str]:
    """Why the product in `path` is not what `graph` would make at `place`; nothing when it is.

    Steps named in `still` are still to come, also those that refine the product.
    """
    from stpipe import models

    product = models.open_metadata(path)
    history: list[Record] = list(product.get("provenance") or [])
    own = _hooks(graph.pipeline, "pre_hooks")
    expected = [*_before(graph, path), *own, *_expected(place, still)]
    problems = [
        *_other_exposure(graph, product, history, path),
        *_other_history(expected, _comparable(history)),
    ]
    for problem in problems:
        yield (
            f"the run cannot start from {path}: {problem}. Rebuild it with --stop-step={place[0].name}."
        )


def _other_exposure(
    graph: Graph, product: Any, history: Sequence[Record], path: Path
) -> Iterator[str]:
    from stpipe import models

    if path == graph.source or len(graph.members) > 1:
        return
    exposure = models.open_metadata(graph.source)
    for name in _IDENTITY:
        one, other = product.get(name), exposure.get(name)
        if one != other and None not in (one, other):
            yield f"{name} is {one}, but {other} in {graph.source}"
            return
    stopped = [r["input"] for r in history if r["status"] == STOPPED]
    if stopped:
        if stopped[-1]["sha256"] != sha256(graph.source):
            yield f"it was made from other bytes than {graph.source} has now"
    elif graph.source.stat().st_mtime_ns > path.stat().st_mtime_ns:
        yield f"{graph.source} was written later"


# --- histories -------------------------------------------------------------------------------------


def _before(graph: Graph, path: Path) -> list[Record]:
    """What the one input of a run went through before, such as the stage that made rates of it."""
    from stpipe import models

    if path == graph.source or len(graph.members) > 1:
        return []
    return _comparable(models.open_metadata(graph.source).get("provenance") or [])


def _expected(place: tuple[Node | None, int], still: Collection[str]) -> list[Record]:
    """What the history of a product would say of its steps."""
    row: list[Record] = []
    node, index = place
    while node is not None:
        if isinstance(node, Part):
            node, index = node.inputs[0]
            continue
        refinements = [
            _of_step(r.step, r.references)
            for r in node.refinements
            if r.product == index and r.step.qualified_name not in still
        ]
        row = [*_of_node(node, index), *refinements, *row]
        node, index = node.inputs[0]
    return row


def _of_node(node: Node, index: int) -> Iterator[Record]:
    yield from _hooks(node.step, "pre_hooks")
    yield _of_step(node.step, node.references)
    if index == 0:
        yield from _hooks(node.step, "post_hooks")


def _of_step(step: Step, references: Mapping[str, Any]) -> Record:
    return _comparable([provenance.done_by(step, references)])[0]


def _hooks(step: Step, when: str) -> Iterator[Record]:
    for hook in getattr(step, when):
        if hooks.replaces(hook):
            yield {"step": step.name, "hook": f"{when} {hooks.text(hook)}"}


def _comparable(history: Sequence[Record]) -> list[Record]:
    """What decides pixels, of the steps and hooks that ran; a step by hand has no pipeline's name."""
    found: list[Record] = []
    for record in history:
        step = str(record["step"]).rpartition(".")[2]
        if record["status"] == HOOK:
            found.append({"step": step, "hook": f"{record['when']} {record['hook']}"})
        elif record["status"] == "COMPLETE":
            references = record.get("references", {}).items()
            files = {t: r.get("sha256", r["name"]) for t, r in references}
            names = {t: r["name"] for t, r in references}
            values = dict(record["parameters"])
            found.append({"step": step, "values": values, "files": files, "names": names})
    return found


def _other_history(expected: Sequence[Record], found: Sequence[Record]) -> Iterator[str]:
    rows = [[_label(record) for record in row] for row in (expected, found)]
    if rows[0] != rows[1]:
        yield (
            f"it went through {', '.join(rows[1]) or 'nothing'}; this run would take "
            f"{', '.join(rows[0])}"
        )
        return
    for planned, before in zip(expected, found, strict=True):
        yield from _other_values(planned, before)


def _label(record: Record) -> str:
    return f"{record['step']} ({record['hook']})" if "hook" in record else str(record["step"])


def _other_values(now: Record, before: Record) -> Iterator[str]:
    for name, value in now.get("values", {}).items():
        was = before["values"].get(name)
        if _plain(was) != _plain(value):
            yield f"{now['step']}: {name} was {was}, now {value}"
    for kind, content in now.get("files", {}).items():
        if before["files"].get(kind) != content:
            names = before["names"].get(kind, "none"), now["names"][kind]
            same = " with other content" if names[0] == names[1] else ""
            yield f"{now['step']}: the {kind} reference was {names[0]}, now {names[1]}{same}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
