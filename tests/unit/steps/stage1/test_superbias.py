"""The bias of samples, and of samples without one."""

from __future__ import annotations

import numpy as np

from stpipe.science.arrays import known_or_zero
from stpipe.steps.stage1 import superbias


def test_unknown_bias_is_not_subtracted() -> None:
    """NaN in the reference leaves counts as they are."""
    clean = known_or_zero(np.array([[3, np.nan]], np.float32))
    data = np.full((1, 2, 1, 2), 10, np.float32)
    assert [7, 10, 7, 10] == superbias.subtract_bias(data, clean).ravel().tolist()


def test_zero_frame_without_data_has_no_bias() -> None:
    """0 means no data and stays 0."""
    frame = np.array([[[10, 0]]], np.float32)
    bias = np.full((1, 2), 3, np.float32)
    assert [7, 0] == superbias.subtract_bias_from_zeroframe(frame, bias).ravel().tolist()
