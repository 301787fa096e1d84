"""MIRI's last group."""

from __future__ import annotations

import numpy as np

from stpipe.steps.stage1 import lastframe


def test_last_group_is_left_out() -> None:
    """All pixels of the last group, and nothing else."""
    flags = lastframe.flag_last_group(np.zeros((2, 3, 1, 1), np.uint8))
    assert [[0, 0, 1], [0, 0, 1]] == flags[..., 0, 0].tolist()
