"""What steps and science ask of models: types for annotations, which nothing has to derive from.

A function that takes a ramp as well as a band of one, or metadata of a model as well as a plain
dictionary, says by one of these what it reads. Where one class of model is meant, that class is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any, Protocol, TypeAlias

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
    "Section",
    "Table",
]

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Bits: TypeAlias = npt.NDArray[np.uint32]  # of pixels
GroupBits: TypeAlias = npt.NDArray[np.uint8]
Table: TypeAlias = npt.NDArray[np.void]  # rows with named columns
Section: TypeAlias = EllipsisType | int | slice | tuple[EllipsisType | int | slice, ...]
FlatMetadata: TypeAlias = Mapping[str, Any]  # values by dotted name, as `to_flat_dict` gives them


class Meta(Protocol):
    """A group of metadata, such as `model.meta`: the schema says which attributes there are."""

    def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: object) -> None: ...


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

    def has(self, name: str) -> bool:
        """Whether an array is in the file or was assigned."""
        ...
