"""A part of the detector's rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Rectangle"]


@dataclass(frozen=True)
class Rectangle:
    """Rows and columns of an exposure, from `y0` and `x0` up to but without `y1` and `x1`."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def section(self) -> tuple[Any, ...]:
        """Index of an array (..., rows, columns)."""
        return (..., slice(self.y0, self.y1), slice(self.x0, self.x1))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    def holds(self, inner: Rectangle) -> bool:
        """Whether all of another rectangle is in this one."""
        rows = self.y0 <= inner.y0 and inner.y1 <= self.y1
        return rows and self.x0 <= inner.x0 and inner.x1 <= self.x1

    def grown(self, margin: int, frame: tuple[int, int]) -> Rectangle:
        """With a margin on all sides, as far as the frame reaches."""
        return Rectangle(
            max(self.y0 - margin, 0),
            min(self.y1 + margin, frame[0]),
            max(self.x0 - margin, 0),
            min(self.x1 + margin, frame[1]),
        )

    def within(self, outer: Rectangle) -> tuple[Any, ...]:
        """Index of this rectangle in an array that holds `outer`."""
        rows = slice(self.y0 - outer.y0, self.y1 - outer.y0)
        return (..., rows, slice(self.x0 - outer.x0, self.x1 - outer.x0))
