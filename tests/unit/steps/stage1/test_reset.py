"""The reset anomaly of MIRI's first groups."""

from __future__ import annotations

import numpy as np

from stpipe.steps.stage1 import reset


def test_reset_is_subtracted_from_the_first_groups() -> None:
    """Later integrations use the last correction; NaN corrects nothing."""
    data = np.full((2, 3, 1, 1), 10, np.float32)
    correction = np.array([[1, np.nan], [3, 4]], np.float32)[..., None, None]
    first = reset.subtract_reset(data, correction, 0)
    assert [[9, 10, 10], [7, 6, 10]] == first[..., 0, 0].tolist()
    later = reset.subtract_reset(data, correction, 5)
    assert [[7, 6, 10], [7, 6, 10]] == later[..., 0, 0].tolist()
