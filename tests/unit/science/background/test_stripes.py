"""Medians along an axis."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.science.background import stripes as stripes_


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("outputs", [1, 4])
def test_medians_along_an_axis(axis: int, outputs: int) -> None:
    """As numpy finds them for every part by itself; 0 where everything is masked."""
    rng = np.random.default_rng(4)
    image, mask = rng.normal(0, 1, (16, 16)).astype(np.float32), rng.random((16, 16)) < 0.7
    mask[(slice(None), 3) if axis == 0 else 3] = False
    found = stripes_.stripes(image, mask, axis, outputs)
    for part in np.split(np.arange(16), outputs):
        at = (part, slice(None)) if axis == 0 else (slice(None), part)
        values = np.where(mask, image, np.nan)[at]
        for n in range(16):
            line = values.T[n] if axis == 0 else values[n]
            expected = np.nanmedian(line) if np.isfinite(line).any() else 0
            assert found[at].take(n, axis=1 - axis) == pytest.approx(expected)
