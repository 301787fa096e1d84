"""Offers: what plans make, for associations of the same project to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stpipe.graph.nodes import Member
from stpipe.graph.tracing import ModelPlaceholder, PlaceholderList, member_of

__all__ = ["Made", "Offer", "offered_by", "offers"]


@dataclass(frozen=True)
class Offer:
    """A result of a stage, and the exposure whose header describes it."""

    path: Path
    origin: Path
    model: str
    root: str
    stage: int  # from 0

    def member(self) -> Member:
        """The file as a member; this reads the header of the exposure."""
        exposure = member_of(self.origin)
        return Member(self.path, exposure.metadata, self.root, self.model, self.origin)


Made = Mapping[str, Offer]  # by file name


def offered_by(plan: Mapping[str, Any]) -> dict[str, Offer]:
    """What a plan makes, by file name."""
    origin = Path(plan["origin"])
    return {
        Path(path).name: Offer(Path(path), origin, **about)
        for path, about in plan["offers"].items()
    }


def offers(
    results: list[ModelPlaceholder | PlaceholderList], paths: list[str], stage: int
) -> dict[str, dict[str, Any]]:
    """What a plan notes of the results of a stage, by path."""
    return {
        path: {"model": result.model, "root": result.root, "stage": stage}
        for result, path in zip(results, paths, strict=True)
        if isinstance(result, ModelPlaceholder) and result.node is not None
    }
