"""`stflow references`: the files that an exposure would be calibrated with, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stpipe.cli.common.text import columns, heading
from stpipe.errors import ReferenceMissing
from stpipe.references.selection import FIXED_SLIT

if TYPE_CHECKING:
    from stpipe.core.step import Step
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Explanation, Resolver

__all__ = ["Request", "as_json", "lines"]

SHOWN = 6  # candidates; JSON has all


@dataclass(frozen=True)
class Request:
    """The exposures, the step or pipeline, and the source of the rules."""

    inputs: tuple[str, ...]
    pipeline: str
    directory: str | None = None
    context: str | None = None

    def choices(self) -> Iterator[tuple[str, list[_Choice]]]:
        """For each exposure, what is chosen of each type."""
        from stpipe import models
        from stpipe.core.loading import load

        cls, resolver = load(self.pipeline), self.resolver()
        for source in self.inputs:
            meta = models.open_metadata(source).to_flat_dict()
            yield source, [_choose(resolver, meta, *one) for one in sorted(_types(cls).items())]

    def resolver(self) -> Resolver:
        """The rules of a directory or of CRDS."""
        from stpipe.references.crds import CrdsResolver
        from stpipe.references.directory import DirectoryResolver

        return DirectoryResolver(self.directory) if self.directory else CrdsResolver(self.context)


@dataclass(frozen=True)
class _Choice:
    """What is chosen of a type, for which steps, and why."""

    type: str
    steps: tuple[str, ...]
    file: str  # name; N/A; or empty when there is none
    path: str
    problem: str
    explanation: Explanation


def _types(cls: type[Step]) -> dict[str, tuple[str, ...]]:
    """The types that a pipeline's steps use, each with the names of those steps."""
    from stpipe.project.config import all_steps

    found: dict[str, tuple[str, ...]] = {}
    for name, step in all_steps(cls) if cls.step_defs else [(cls.alias, cls)]:
        types = (*step.reference_types, *step.optional_reference_types)
        for reference_type in (t for t in types if not t.startswith(FIXED_SLIT)):
            found[reference_type] = (*found.get(reference_type, ()), name)
    return found


def _choose(
    resolver: Resolver, meta: FlatMetadata, reference_type: str, steps: tuple[str, ...]
) -> _Choice:
    file = path = problem = ""
    try:
        reference = resolver.select(meta, [reference_type])[reference_type]
        file = reference.path.name if reference.path else "N/A"
        path = str(reference.path or "")
    except ReferenceMissing as error:
        problem = str(error)
    explanation = resolver.explain(meta, reference_type)
    return _Choice(reference_type, steps, file, path, problem, explanation)


def lines(request: Request) -> Iterator[str]:
    """A paragraph for each type."""
    for source, choices in request.choices():
        yield heading(f"{source}: references for {request.pipeline}")
        for choice in choices:
            yield from _paragraph(choice)


def _paragraph(choice: _Choice) -> Iterator[str]:
    yield f"{choice.type}: {choice.file or choice.problem}"
    explanation = choice.explanation
    about = [["for", ", ".join(choice.steps)], ["rules", explanation.rules]]
    if explanation.criteria:
        about.append(["exposure", _text(explanation.criteria)])
    yield from columns(about, "    ")
    candidates = sorted(explanation.candidates, key=lambda c: c.file != choice.file)
    for candidate in candidates[:SHOWN] if choice.file != "N/A" else ():
        mark = "*" if candidate.file == choice.file else "-"
        yield f"    {mark} {candidate.file}{f'  ({_text(candidate.asks)})' if candidate.asks else ''}"
    if choice.file != "N/A" and len(candidates) > SHOWN:
        yield f"    and {len(candidates) - SHOWN} more; --json shows all"


def _text(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{n.removeprefix('meta.')} = {v}" for n, v in values.items())


def as_json(request: Request) -> str:
    """The same as JSON, complete."""
    import json

    found = [
        {"input": source, "references": [asdict(choice) for choice in choices]}
        for source, choices in request.choices()
    ]
    return json.dumps(found, indent=1, default=str)
