"""Some integrations of an exposure: their place in its arrays, and a view of them alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stpipe.engine.band import IMAGES

if TYPE_CHECKING:
    from stpipe.engine.band import Array
    from stpipe.engine.rectangle import Rectangle
    from stpipe.models import DataModel
    from stpipe.models.protocols import Section

__all__ = ["Integrations", "Portion"]

_IMAGE = 2  # axes of an array that all integrations share


@dataclass(frozen=True)
class Portion:
    """Integrations from `first` up to but without `end`, of a rectangle."""

    first: int
    end: int
    place: Rectangle

    def section(self, ndim: int) -> tuple[Any, ...]:
        """Index of an array ([integrations, [groups,]] rows, columns) of `ndim` axes."""
        if ndim == _IMAGE:
            return self.place.section
        return slice(self.first, self.end), *self.place.section


class Integrations:
    """Some integrations of a stored ramp, as the engine reads a ramp."""

    meta: Any
    shape: tuple[int, ...]

    def __init__(self, ramp: DataModel, first: int, end: int) -> None:
        self.meta = ramp.meta
        self.shape = (end - first, *(ramp.shape or ())[1:])
        self._ramp = ramp
        self._first = first

    def has(self, name: str) -> bool:
        """Whether the ramp has an array."""
        return self._ramp.has(name)

    def read(self, name: str, section: Section) -> Array:
        """A section (..., rows, columns) of an array, or ([integrations,] ..., rows, columns)."""
        inside: tuple[Any, ...] = section if isinstance(section, tuple) else (section,)
        if name in IMAGES:
            return self._ramp.read(name, inside)
        span = slice(0, self.shape[0]) if inside[0] is ... else inside[0]
        there = slice(self._first + span.start, self._first + span.stop)
        rest = inside if inside[0] is ... else inside[1:]
        return self._ramp.read(name, (there, *rest))
