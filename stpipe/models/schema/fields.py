"""One attribute of a model, as the schema describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Field"]


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute: a metadata value or an array.

    ``cell_ndim`` is the number of dimensions of the cells of those columns whose shape is open.
    ``shape_like`` names the array whose shape this one must have. ``extra`` holds the JSON Schema
    keywords beyond this dialect, such as ``pattern``.
    """

    path: str
    type: str | None = None
    keyword: str | None = None
    hdu: str = "PRIMARY"
    enum: tuple[Any, ...] = ()
    default: Any = None
    title: str = ""
    dtype: np.dtype[Any] | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    shape_like: str | None = None
    cell_ndim: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_array(self) -> bool:
        """Whether the attribute is an array or a table."""
        return self.type == "data"

    @property
    def is_table(self) -> bool:
        """Whether the attribute is a table."""
        return self.dtype is not None and self.dtype.names is not None
