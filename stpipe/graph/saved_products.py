"""Saved products: whether a run can start from one, since it would make the same itself.

A product matches a run if it is of the same exposure, and its history lists the same steps with the
same parameters, references and hooks as the run would take up to there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe import hooks
from stpipe.core import provenance
from stpipe.graph.nodes import Node, Part
from stpipe.graph.tracing import Graph
from stpipe.models.history import HOOK, append, now
from stpipe.references.checksums import sha256

if TYPE_CHECKING:
    from stpipe.core.step import Step
    from stpipe.models import DataModel

__all__ = ["mismatches", "record_stop", "remove_stop"]

STOPPED = "STOPPED"  # status of the record that a stopped run leaves
# Keywords that differ between exposures, and that no step changes.
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


def record_stop(model: DataModel, source: Path, pipeline: Step, stop: str) -> None:
    """Record in a product that the run was stopped, and the checksum of its input."""
    record = {
        "step": pipeline.name,
        "class": pipeline.target(),
        "status": STOPPED,
        "reason": f"stopped after {stop}",
        "input": {"name": source.name, "sha256": sha256(source)},
        "finished": now(),
    }
    append(model, record)


def remove_stop(model: DataModel) -> None:
    """Remove the record of `record_stop`: the history is that of a run that did not stop."""
    model.provenance = [r for r in model.provenance or [] if r["status"] != STOPPED]


def mismatches(
    graph: Graph, place: tuple[Node, int], path: Path, to_run: Collection[str]
) -> Iterator[str]:
    """Sentences on how the product in `path` differs from what `graph` would make at `place`.

    Steps named in `to_run`, also those that refine the product, are not in its history yet.
    """
    from stpipe import models

    product = models.open_metadata(path)
    history: list[Record] = list(product.get("provenance") or [])
    own = _hooks(graph.pipeline, "pre_hooks")
    expected = [*_before(graph, path), *own, *_expected(place, to_run)]
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
            yield f"it was made from {graph.source} before that file changed"
    elif graph.source.stat().st_mtime_ns > path.stat().st_mtime_ns:
        yield f"{graph.source} is newer"


# --- histories -------------------------------------------------------------------------------------


def _before(graph: Graph, path: Path) -> list[Record]:
    """The history of the input of a run, such as the stage that made rates of it."""
    from stpipe import models

    if path == graph.source or len(graph.members) > 1:
        return []
    return _comparable(models.open_metadata(graph.source).get("provenance") or [])


def _expected(place: tuple[Node | None, int], to_run: Collection[str]) -> list[Record]:
    """The history that a product should have."""
    row: list[Record] = []
    node, index = place
    while node is not None:
        if isinstance(node, Part):
            node, index = node.inputs[0]
            continue
        refinements = [
            _of_step(r.step, r.references)
            for r in node.refinements
            if r.product == index and r.step.qualified_name not in to_run
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
    """What decides pixels, of the steps and hooks that ran; names of pipelines do not matter."""
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
            f"its steps are {', '.join(rows[1]) or 'none'}; those of this run would be "
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
