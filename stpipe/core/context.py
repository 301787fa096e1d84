"""The context of a run, handed down from the outermost call to every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stpipe.references.crds import CrdsResolver

if TYPE_CHECKING:
    from stpipe.references.selection import Resolver

__all__ = ["Context", "Runner"]


class Runner(Protocol):
    """Decides what a call of a step means.

    In memory it computes (`core.run`); while a pipeline is traced it becomes a node
    (`graph.tracing`); in a part of a pipeline it does one or the other (`graph.partial_run`).
    """

    def run(self, step: Any, inputs: Sequence[Any]) -> Any:
        """The products of `step`, or placeholders for them."""
        ...


@dataclass(frozen=True)
class Context:
    """What all steps of a run have in common."""

    runner: Runner | None = None  # None: in memory
    resolver: Resolver = field(default_factory=CrdsResolver)
    threads: int = 1
    source: Path | None = None  # what products are named after
    origin: Path | None = None  # the exposure as it came; None: it is the source
    output_dir: str | None = None  # folder of products that have none of their own
    chained: bool = False  # products stay in memory: their pixels may be computed later
    own_names: bool = True  # parameters may name side products (not in a project)
    pipelines: tuple[Mapping[str, Any], ...] = ()  # those of a plan that a step runs for
    pending: frozenset[str] = frozenset()  # files that other jobs of a project make first
