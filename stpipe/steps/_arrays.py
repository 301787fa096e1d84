"""Types of the arrays that steps exchange, and the few operations that several of them share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Bits", "Booleans", "Doubles", "Floats", "GroupBits", "or_where"]

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Bits: TypeAlias = npt.NDArray[np.uint32]  # of pixels
GroupBits: TypeAlias = npt.NDArray[np.uint8]


def or_where(flags: GroupBits, where: Booleans, bits: int) -> None:
    """Set `bits` of `flags`, in place, where asked; one pass without branches."""
    flags |= where.view(np.uint8) * np.uint8(bits)
