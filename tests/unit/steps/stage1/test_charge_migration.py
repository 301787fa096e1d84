"""Charge that spills into neighbours."""

from __future__ import annotations

import numpy as np

from stpipe.models import dqflags
from stpipe.steps.stage1 import charge_migration

DNU = dqflags.DO_NOT_USE


def test_charge_spills_to_four_neighbours_and_stays() -> None:
    """From the group above the threshold on; groups that are only DO_NOT_USE spill nothing."""
    data = np.zeros((1, 3, 3, 6), np.float32)
    data[0, 1, 1, 1] = data[0, 1, 1, 5] = 100
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[0, 1, 1, 5] = DNU
    flags = charge_migration.flag_charge_loss(data, groupdq, 99)
    lost = dqflags.CHARGELOSS | DNU
    plus = np.zeros((3, 6), np.uint8)
    plus[1, :3] = plus[:, 1] = lost
    assert not flags[0, 0].any()
    np.testing.assert_array_equal(flags[0, 2], plus)
    plus[1, 5] = DNU
    np.testing.assert_array_equal(flags[0, 1], plus)
