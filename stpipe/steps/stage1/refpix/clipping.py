"""Means without outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["clipped_mean"]


def clipped_mean(values: Floats | Doubles, siglimit: float) -> float | None:
    """Mean of what stays within `siglimit` standard deviations of it; None of nothing."""
    kept = values.astype(np.float64)
    if kept.size == 0:
        return None
    size = 0
    while kept.size != size and (spread := kept.std()) > 0:
        size = kept.size
        kept = kept[np.abs(kept - kept.mean()) <= siglimit * spread]
    return float(kept.mean())
