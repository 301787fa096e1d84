"""The groups after a reset that are left out."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.steps.stage1 import rscd

SAT, DNU = dqflags.SATURATED, dqflags.DO_NOT_USE
TABLE = np.array(
    [("FULL", "FASTR1", 2, 4), ("SLITLESSPRISM", "FASTR1", -1, 3)],
    dtype=[("subarray", "U17"), ("readpatt", "U12"), ("group_skip1", "i4"), ("group_skip", "i4")],
)


def test_groups_to_skip_come_from_the_table() -> None:
    """Subarray and readout select a row; old rows leave one group of the first integration out."""
    assert rscd.groups_to_skip(TABLE, "FULL", "FASTR1") == (2, 4)
    assert rscd.groups_to_skip(TABLE, "SUBPRISM", "FASTR1") == (1, 3)
    with pytest.raises(Skip, match="SUB64"):
        rscd.groups_to_skip(TABLE, "SUB64", "FASTR1")


@pytest.mark.parametrize(
    ("requested", "ngroups", "expected"), [(4, 20, 4), (4, 6, 3), (4, 5, 1), (1, 3, 0), (0, 9, 0)]
)
def test_enough_groups_are_left(requested: int, ngroups: int, expected: int) -> None:
    """At least three groups stay, and of up to five only one goes."""
    assert expected == rscd.limit_skip(requested, ngroups)


def test_saturation_lowers_the_number_of_groups() -> None:
    """Two unsaturated groups stay if possible; ramps saturated from the start do not matter."""
    groupdq = np.zeros((1, 6, 1, 4), np.uint8)
    for column, first in enumerate((0, 1, 3, 5)):
        groupdq[0, first:, 0, column] = SAT
    skipped = rscd.skipped_of_pixels(groupdq, 3)
    assert [3, 0, 1, 3] == skipped.ravel().tolist()
    rscd.flag_first_groups(groupdq, skipped)
    flags = groupdq & DNU
    assert [3, 0, 1, 3] == flags[0, :, 0].sum(axis=0).tolist()
