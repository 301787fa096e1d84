"""What steps and science ask of models: types for annotations, which nothing has to derive from.

A function that takes a ramp as well as a band of one, or metadata of a model as well as a plain
dictionary, says by one of these what it reads. Where one class of model is meant, that class is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bits",
    "Booleans",
    "Doubles",
    "Exposure",
    "FlatMetadata",
    "Floats",
    "GroupBits",
    "Meta",
    "Ramp",
    "Row",
    "Section",
    "Table",
    "WorldCoordinates",
]

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Bits: TypeAlias = npt.NDArray[np.uint32]  # of pixels
GroupBits: TypeAlias = npt.NDArray[np.uint8]
Table: TypeAlias = npt.NDArray[np.void]  # rows with named columns
Row: TypeAlias = np.void | Mapping[str, Any]  # one row of a table: a value for each column
Section: TypeAlias = Any  # what an array takes as index


class Meta(Protocol):
    """A group of metadata, such as `model.meta`: the schema says which attributes there are."""

    def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: object) -> None: ...


class FlatMetadata(Protocol):
    """Metadata values by dotted name: a dictionary, or a model, or what the headers of a file tell."""

    @overload
    def get(self, path: str, /) -> Any: ...
    @overload
    def get(self, path: str, default: Any, /) -> Any: ...


class Ramp(Protocol):
    """A ramp, or a band of one. Arrays are reassigned, never written into.

    Attributes
    ----------
    data, groupdq
        (integrations, groups, rows, columns), float32 in DN and uint8.
    pixeldq
        (rows, columns), uint32.
    zeroframe, average_dark_current
        (integrations, rows, columns) and (rows, columns); None where the exposure has none.
    """

    data: Floats
    groupdq: GroupBits
    pixeldq: Bits
    zeroframe: Floats | None
    average_dark_current: Floats | None

    @property
    def meta(self) -> Meta:
        """Metadata of the exposure."""
        ...


class Exposure(Protocol):
    """An image, a cube or a slit: ([integrations,] rows, columns).

    Attributes
    ----------
    data, err
        float32, in the unit that `meta.bunit_data` says.
    dq
        uint32.
    var_poisson, var_rnoise, var_flat
        float32, in the square of that unit; None where there is none.
    """

    data: Floats
    err: Floats
    dq: Bits
    var_poisson: Floats | None
    var_rnoise: Floats | None
    var_flat: Floats | None

    @property
    def meta(self) -> Meta:
        """Metadata of the exposure."""
        ...

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of `data`."""
        ...

    def has(self, name: str) -> bool:
        """Whether an array is in the file or was assigned."""
        ...


class WorldCoordinates(Protocol):
    """World coordinates of pixels, as gwcs has them."""

    bounding_box: Any

    @property
    def output_frame(self) -> Any:
        """The frame of what calling it returns."""
        ...

    def __call__(self, *pixels: Any, with_bounding_box: bool = ...) -> Any:
        """World coordinates of pixels (from 0), columns before rows."""
        ...

    def invert(self, *world: Any, with_bounding_box: bool = ...) -> Any:
        """Pixels of world coordinates."""
        ...

    def get_transform(self, from_frame: str, to_frame: str) -> Any:
        """The model from one frame to another."""
        ...
