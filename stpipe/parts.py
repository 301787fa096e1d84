"""Parts: the products of a step that makes several of one kind, such as the slits of an exposure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

__all__ = ["Parts"]


class Parts(tuple[Any, ...]):  # noqa: SLOT001 - labels are an attribute
    """Models in their order, each with a label that tells it apart: `for slit in slits`.

    A part of the exposure `X` with the label `s1` is saved as `X_s1_<suffix>.fits`.
    """

    labels: tuple[str, ...]

    def __new__(cls, labels: Iterable[str], models: Iterable[Any]) -> Self:
        """Pair labels and models, in their order."""
        made = super().__new__(cls, models)
        made.labels = tuple(labels)
        return made

    @classmethod
    def of(cls, models: Mapping[str, Any]) -> Self:
        """Parts from models by label."""
        return cls(models.keys(), models.values())
