"""The level of the background, without sources."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.science.background import levels as background


@pytest.mark.parametrize("fit_histogram", [False, True])
def test_clipping_keeps_the_background(fit_histogram: bool) -> None:
    """Two sigma above keep 97.7 per cent, and no source."""
    rng = np.random.default_rng(6)
    image = rng.normal(10, 1, (200, 200))
    image[:20] += 50
    mask = np.ones(image.shape, bool)
    background.clip_to_background(image, mask, background.Clipping(fit_histogram=fit_histogram))
    assert not mask[:20].any()
    assert mask[20:].mean() == pytest.approx(0.977, abs=0.01)
