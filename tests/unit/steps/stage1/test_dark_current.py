"""Dark current: matching readouts, averages, darks too short, integrations of MIRI."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage1 import dark_current
from stpipe.steps.stage1.dark_current import Readout
from stpipe.testing import apply


def frames(*values: float) -> np.ndarray:
    """A dark of one pixel."""
    return np.array(values, dtype=np.float32)[:, None, None]


def test_equal_readouts_are_subtracted_group_by_group() -> None:
    """Nothing is averaged; groups that the exposure lacks are not used; NaN is no dark."""
    readout = Readout(4, 1)
    matched = dark_current.match_dark(frames(1, np.nan, 3, 4), readout, readout, 3)
    assert [1, 0, 3] == matched.ravel().tolist()
    data = np.full((2, 3, 1, 1), 10, np.float32)
    out = dark_current.subtract_dark(data, matched, [0, 0])
    assert [9, 10, 7, 9, 10, 7] == out.ravel().tolist()


def test_frames_are_averaged_and_gaps_are_left_out() -> None:
    """Groups of two frames and a gap of one: frames 0 and 1, 3 and 4."""
    matched = dark_current.match_dark(frames(0, 2, 9, 4, 8, 9), Readout(1, 0), Readout(2, 1), 2)
    assert [1, 6] == matched.ravel().tolist()


def test_short_darks_are_continued() -> None:
    """Missing groups lie on the line through the last two."""
    matched = dark_current.match_dark(frames(0, 1, 3), Readout(1, 0), Readout(1, 0), 5)
    assert [0, 1, 3, 5, 7] == matched.ravel().tolist()


def test_long_frames_cannot_be_divided() -> None:
    """A dark with more frames in a group, or wider gaps, does not fit."""
    assert Readout(1, 0).divides(Readout(4, 1))
    assert not Readout(4, 0).divides(Readout(1, 0))
    assert not Readout(1, 1).divides(Readout(4, 0))


@pytest.mark.parametrize(("first", "expected"), [(1, [0, 1, 1]), (None, [0, 1, 1]), (4, [1, 1, 1])])
def test_later_integrations_use_the_last_dark(first: int | None, expected: list[int]) -> None:
    """Only the first segment of an exposure begins with the first dark."""
    assert expected == dark_current.dark_planes(2, 3, first)


def test_flags_of_all_integrations_are_collapsed() -> None:
    """MIRI's darks have flags for each integration; images are taken as they are."""
    dq = np.array([1, 4], np.uint32).reshape(2, 1, 1, 1)
    assert [[5]] == dark_current.collapse_dq(dq).tolist()
    assert [[1]] == dark_current.collapse_dq(dq[0, 0]).tolist()


class FakeDark:
    """A dark reference in memory."""

    def __init__(self, image: np.ndarray | None, keyword: float | None) -> None:
        exposure = SimpleNamespace(nframes=1, groupgap=0, average_dark_current=keyword)
        self.meta = SimpleNamespace(exposure=exposure)
        self.data, self.dq = frames(1, 2), np.full((1, 1), dqflags.UNRELIABLE_DARK, np.uint32)
        self.average_dark_current = image

    def has(self, name: str) -> bool:
        """Is the array there?"""
        return getattr(self, name) is not None


@pytest.mark.parametrize(
    ("parameter", "image", "keyword", "expected"),
    [
        (7.0, [[3]], 2.0, 7),
        (None, [[3]], 2.0, 3),
        (None, [[0]], 2.0, 2),
        (None, None, 2.0, 2),
        (None, None, None, 0),
        (None, [[3, 3]], 2.0, 0),
    ],
)
def test_average_dark_current_comes_from_the_first_that_knows(
    parameter: float | None, image: Any, keyword: float | None, expected: float
) -> None:
    """The user, then the image if it has the right shape, then the keyword."""
    exposure = SimpleNamespace(nframes=1, groupgap=0, integration_start=None)
    ramp = SimpleNamespace(
        data=np.full((1, 2, 1, 1), 10, np.float32),
        pixeldq=np.zeros((1, 1), np.uint32),
        meta=SimpleNamespace(exposure=exposure),
    )
    dark = FakeDark(None if image is None else np.array(image, np.float32), keyword)
    step = dark_current.DarkCurrentStep(average_dark_current=parameter)
    apply(step, ramp, {"dark": dark})
    assert [9, 8] == ramp.data.ravel().tolist()
    assert [[expected]] == ramp.average_dark_current.tolist()
    assert [[dqflags.UNRELIABLE_DARK]] == ramp.pixeldq.tolist()


@pytest.mark.parametrize("detector", ["nrca1", "mirimage"])
@pytest.mark.usefixtures("crds")
def test_the_dark_that_is_subtracted_can_be_saved(
    demo_folder: Path, tmp_path: Path, detector: str
) -> None:
    """It has the groups of the exposure, says so, and is a reference file that can be used."""
    source = next(demo_folder.glob(f"uncal/*00001_{detector}_uncal.fits"))
    step = dark_current.DarkCurrentStep(dark_output="dark.fits", output_dir=str(tmp_path))
    subtracted = step.run(source)
    with models.open(tmp_path / "dark.fits") as dark, models.RampModel(source) as ramp:
        assert ramp.meta.exposure.nframes == dark.meta.exposure.nframes
        assert ramp.meta.exposure.ngroups == dark.meta.exposure.ngroups
        assert ramp.shape[1] == dark.shape[-3]
        np.testing.assert_array_equal((ramp.data - dark.data)[0], subtracted.data[0])

    override = str(tmp_path / "dark.fits")
    again = dark_current.DarkCurrentStep(override_dark=override).run(source)
    np.testing.assert_array_equal(subtracted.data, again.data)


def test_darks_of_later_segments_are_filled() -> None:
    """Averaged MIRI darks have all their planes; a later segment subtracts the last one."""
    dark = np.ones((2, 6, 3, 4), np.float32) * np.array([5, 7], np.float32)[:, None, None, None]
    one, wanted = dark_current.Readout(1, 0), dark_current.Readout(2, 0)
    matched = dark_current.match_dark(dark, one, wanted, 3)
    planes = dark_current.dark_planes(2, 1, first=4)
    out = dark_current.subtract_dark(np.full((1, 3, 3, 4), 10, np.float32), matched, planes)
    np.testing.assert_array_equal(3, out)
