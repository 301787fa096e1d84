"""MIRI's first group, and who has none that is special."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.models import dqflags
from stpipe.steps.stage1 import firstframe, lastframe, rscd

SAT, DNU = dqflags.SATURATED, dqflags.DO_NOT_USE


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
