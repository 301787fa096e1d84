"""What a graph is made of: runs of steps, what they read and make, and the files it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.core.products import Output
from stpipe.core.step import Step
from stpipe.models.user_models import known_class

if TYPE_CHECKING:
    from stpipe.references.selection import Reference

__all__ = [
    "ANY",
    "Member",
    "Node",
    "Part",
    "Place",
    "Refinement",
    "SkippedStep",
    "shape_of",
    "stands_for_all",
]


ANY = "*"  # the label of a part that stands for all, if only pixels decide how many there are


def stands_for_all(root: str) -> bool:
    """Whether a root name is that of a part that stands for all."""
    return root.endswith(f"_{ANY}") or f"_{ANY}_" in root


@dataclass(frozen=True)
class SkippedStep:
    """A step that is skipped, and why; the next product records it."""

    step: Step
    reason: str


@dataclass(frozen=True)
class Refinement:
    """A step that works on one product of a node before the product is written."""

    step: Step
    product: int
    references: Mapping[str, Reference]
    skipped_before: tuple[SkippedStep, ...] = ()


@dataclass(eq=False)
class Node:
    """One run of a step: what it reads, what it makes, with which references."""

    step: Step
    inputs: tuple[Place, ...]
    root: str  # of the names of its files
    products: tuple[Output, ...]
    references: Mapping[str, Reference] = field(default_factory=dict)
    skipped_before: tuple[SkippedStep, ...] = ()
    skipped_after: list[SkippedStep] = field(default_factory=list)
    refinements: list[Refinement] = field(default_factory=list)
    side: tuple[Output, ...] = ()  # products that parameters ask for; no step reads them
    waits_for: tuple[Node, ...] = ()  # nodes that have to succeed before this one starts
    # For each argument of the step how many of the inputs are in its list; 0: not a list,
    # -1: all that are left.
    arguments: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        """The step's name, with those of pipelines between it and the outermost one."""
        return self.step.qualified_name


@dataclass(eq=False)
class Part(Node):
    """One file in the folder that a node makes; its input is that folder."""


@dataclass(frozen=True)
class Member:
    """A file that a graph starts from: an exposure, or a member of an association.

    If it has not been made yet, `origin` is the file whose header describes it.
    """

    source: Path
    metadata: Any
    root: str
    model: str  # class of its model
    origin: Path
    association_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the primary array of the file; empty without one."""
        return shape_of(self.metadata)


def shape_of(metadata: Any) -> tuple[int, ...]:
    """Shape of the primary array of a model, or of a file by its headers; empty without one."""
    known = known_class(getattr(metadata, "model_type", type(metadata).__name__))
    shapes: Mapping[str, tuple[int, ...]] = metadata.shapes
    return shapes.get(known.primary if known else "data", ())


# A node and the index of one of its products; without a node the number of a member.
Place = tuple[Node | None, int]
