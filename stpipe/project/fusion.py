"""Fusion: steps between products that are kept run as one job, which holds the others in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stpipe.graph.nodes import Node, Part
from stpipe.graph.tracing import Graph
from stpipe.project.steps import LookStep

__all__ = ["Run", "runs"]


@dataclass(frozen=True)
class Run:
    """Nodes that one job runs, each on what the one before makes."""

    nodes: tuple[Node, ...]

    @property
    def first(self) -> Node:
        """The node that reads the job's input."""
        return self.nodes[0]

    @property
    def last(self) -> Node:
        """The node whose products are written."""
        return self.nodes[-1]


def runs(graph: Graph, fuses: Callable[[str], bool]) -> list[Run]:
    """The jobs of a graph, in order; `fuses` says by the name of a step whether it may be fused.

    A step is fused with the next if one node reads its first product, none reads the others, and the
    pipeline neither returns nor saves any of them.
    """
    heads = {n: n.inputs[0][0] for n in graph.nodes if _joins(graph, n, fuses)}
    inner = set(heads.values())
    found = []
    for node in graph.nodes:
        if node not in inner:
            row = [node]
            while (before := heads.get(row[0])) is not None:
                row.insert(0, before)
            found.append(Run(tuple(row)))
    return found


def _joins(graph: Graph, node: Node, fuses: Callable[[str], bool]) -> bool:
    """Whether a node runs in the job of the one that makes its input."""
    before, index = node.inputs[0]
    if before is None or isinstance(before, Part) or before.products[0].many or before.side:
        return False
    if index or len(node.inputs) > 1 or node.step.takes_many or isinstance(node.step, LookStep):
        return False  # a job reads the files of its first step alone
    readers = [n for n in graph.nodes if any(maker is before for maker, _ in n.inputs)]
    wanted = [*graph.results, *(product for product, _ in graph.saves)]
    return (
        fuses(before.name)
        and readers == [node]
        and all(place.node is not before for place in wanted)
    )
