"""MIRI's first and last groups: flags and corrections."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.steps.stage1 import firstframe, lastframe, reset, rscd

SAT, DNU = dqflags.SATURATED, dqflags.DO_NOT_USE
TABLE = np.array(
    [("FULL", "FASTR1", 2, 4), ("SLITLESSPRISM", "FASTR1", -1, 3)],
    dtype=[("subarray", "U17"), ("readpatt", "U12"), ("group_skip1", "i4"), ("group_skip", "i4")],
)


def test_last_group_is_left_out() -> None:
    """All pixels of the last group, and nothing else."""
    flags = lastframe.flag_last_group(np.zeros((2, 3, 1, 1), np.uint8))
    assert [[0, 0, 1], [0, 0, 1]] == flags[..., 0, 0].tolist()


def test_bright_pixels_keep_their_first_group() -> None:
    """Where the third group is saturated the first may be kept."""
    groupdq = np.zeros((1, 4, 1, 2), np.uint8)
    groupdq[0, 2:, 0, 1] = SAT
    keep = firstframe.saturate_in_third(groupdq)
    assert [[[False, True]]] == keep.tolist()
    flags = firstframe.flag_first_group(groupdq, keep)
    assert [[1, 0], [0, 0], [0, 2], [0, 2]] == flags[0, :, 0].tolist()


@pytest.mark.parametrize(
    "step", [lastframe.LastFrameStep, firstframe.FirstFrameStep, rscd.RscdStep]
)
def test_other_instruments_and_short_ramps_are_left_alone(step: type) -> None:
    """Metadata alone decide, so that planning can leave the step out."""
    miri = {"meta.instrument.name": "MIRI", "meta.exposure.ngroups": 10}
    assert not step().not_needed(miri, {})
    assert "MIRI" in step().not_needed({**miri, "meta.instrument.name": "NIRCAM"}, {})
    assert "groups" in step().not_needed({**miri, "meta.exposure.ngroups": 2}, {})


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


def test_reset_is_subtracted_from_the_first_groups() -> None:
    """Later integrations use the last correction; NaN corrects nothing."""
    data = np.full((2, 3, 1, 1), 10, np.float32)
    correction = np.array([[1, np.nan], [3, 4]], np.float32)[..., None, None]
    first = reset.subtract_reset(data, correction, 0)
    assert [[9, 10, 10], [7, 6, 10]] == first[..., 0, 0].tolist()
    later = reset.subtract_reset(data, correction, 5)
    assert [[7, 6, 10], [7, 6, 10]] == later[..., 0, 0].tolist()
