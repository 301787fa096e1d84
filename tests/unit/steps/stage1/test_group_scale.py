"""Groups that were averaged on board."""

from __future__ import annotations

import numpy as np

from stpipe.steps.stage1 import group_scale


def test_groups_divided_by_a_power_of_two_are_scaled() -> None:
    """Three frames were added and divided by four."""
    data = np.full((1, 1, 1, 1), 30, np.float32)
    assert group_scale.scale_groups(data, 3, 4).item() == 40
