"""Saturation: thresholds, growth, averaged groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stpipe.models import dqflags
from stpipe.steps.stage1.saturation import step
from stpipe.steps.stage1.saturation import step as saturation

SAT, DNU, FLOOR = dqflags.SATURATED, dqflags.DO_NOT_USE, dqflags.AD_FLOOR


def level(shape: tuple[int, int], value: float, nframes: int = 1) -> step.SaturationLevel:
    """The same threshold everywhere."""
    threshold = np.full(shape, value, dtype=np.float32)
    return step.saturation_level(threshold, np.zeros(shape, np.uint32), nframes)[0]


@pytest.mark.parametrize("grow", [0, 1, 2])
def test_saturation_lasts_and_spreads(grow: int) -> None:
    """From the group that reaches the threshold on, a square around the pixel is flagged."""
    data = np.full((1, 3, 9, 9), 10, dtype=np.float32)
    data[0, 1, 4, 4] = 100
    flags = step.flag_saturation(data, np.zeros(data.shape, np.uint8), level((9, 9), 100), grow)
    expected = np.zeros(data.shape, dtype=np.uint8)
    expected[0, 1:, 4 - grow : 5 + grow, 4 - grow : 5 + grow] = SAT
    np.testing.assert_array_equal(flags, expected)


def test_no_signal_is_unusable_in_that_group_only() -> None:
    """Groups at or below 0 DN are AD_FLOOR and DO_NOT_USE, and do not spread."""
    data = np.full((1, 2, 3, 3), 10, dtype=np.float32)
    data[0, 0, 1, 1] = 0
    flags = step.flag_saturation(data, np.zeros(data.shape, np.uint8), level((3, 3), 100), 1)
    expected = np.zeros(data.shape, dtype=np.uint8)
    expected[0, 0, 1, 1] = FLOOR | DNU
    np.testing.assert_array_equal(flags, expected)


def test_unknown_threshold_never_saturates() -> None:
    """NaN in the reference means NO_SAT_CHECK, whatever the counts are."""
    threshold = np.array([[np.nan, 5]], dtype=np.float32)
    known, flags = step.saturation_level(threshold, np.zeros((1, 2), np.uint32), 1)
    data = np.full((1, 1, 1, 2), 65535, dtype=np.float32)
    groupdq = step.flag_saturation(data, np.zeros(data.shape, np.uint8), known, 0)
    assert [[0, SAT]] == groupdq[0, 0].tolist()
    assert [[dqflags.NO_SAT_CHECK, 0]] == flags.tolist()


def test_averaged_group_before_saturation_is_unusable() -> None:
    """Of four frames averaged, the last may be saturated when the mean is 2.5/4 of the threshold."""
    data = np.array([63, 200, 300, 400], dtype=np.float32).reshape(1, 4, 1, 1)
    flags = step.flag_saturation(
        data, np.zeros(data.shape, np.uint8), level((1, 1), 100, nframes=4), 0
    )
    assert [DNU, SAT, SAT, SAT] == flags.ravel().tolist()
    below = data.copy()
    below[0, 0] = 62
    flags = step.flag_saturation(
        below, np.zeros(data.shape, np.uint8), level((1, 1), 100, nframes=4), 0
    )
    assert [0, SAT, SAT, SAT] == flags.ravel().tolist()


def test_hidden_saturation_spreads_once() -> None:
    """Neighbours of a group before saturation are unusable, and hide no saturation themselves."""
    data = np.full((1, 3, 1, 4), 99, dtype=np.float32)
    data[0, :, 0, 1:] = 1
    data[0, 2, 0, 0] = 200
    flags = step.flag_saturation(
        data, np.zeros(data.shape, np.uint8), level((1, 4), 100, nframes=4), 1
    )
    assert [[0, 0, 0, 0], [DNU, DNU, 0, 0], [SAT, SAT, 0, 0]] == flags[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([1, 30, 200], [0, DNU, SAT]),
        ([1, 25, 200], [0, 0, SAT]),  # no more than a quarter of the way to saturation
        ([30, 60, 200], [0, 0, SAT]),  # 12 frames at this rate saturate anyway
    ],
)
def test_sudden_rise_in_the_second_group_is_unusable(
    groups: list[float], expected: list[int]
) -> None:
    """A second group that rises by a share of the last frame, before a saturated third."""
    data = np.array(groups, dtype=np.float32).reshape(1, 3, 1, 1)
    flags = step.flag_saturation(
        data, np.zeros(data.shape, np.uint8), level((1, 1), 100, nframes=4), 0
    )
    assert expected == flags.ravel().tolist()


def test_zeroframe_keeps_usable_pixels_only() -> None:
    """Saturated pixels, those beside them and those without signal become 0."""
    frame = np.array([[[5, 100, 5, 7, -1]]], dtype=np.float32)
    cleared = step.clear_zeroframe(frame, np.full((1, 5), 100, np.float32), 1)
    assert [[[0, 0, 0, 7, 0]]] == cleared.tolist()


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.integers(0, 4))
def test_dilate_reaches_exactly_so_far(mask: np.ndarray, by: int) -> None:
    """A pixel is in the grown mask when one of the mask is at most `by` rows and columns away."""
    rows, columns = np.nonzero(mask)
    expected = np.zeros(mask.shape, dtype=bool)
    for y, x in zip(rows, columns, strict=True):
        expected[max(0, y - by) : y + by + 1, max(0, x - by) : x + by + 1] = True
    np.testing.assert_array_equal(step.dilate(mask, by), expected)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 20))), st.integers(0, 4))
def test_growth_is_a_square(mask: np.ndarray, by: int) -> None:
    """A pixel is set when any within reach, in rows and columns, is; reach may exceed the image."""
    padded = np.pad(mask, by)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * by + 1, 2 * by + 1))
    np.testing.assert_array_equal(windows.any(axis=(2, 3)), step.dilate(mask, by))


def test_gaps_do_not_matter_for_hidden_saturation() -> None:
    """Frames of a group are counted as if there were none between groups."""
    level, _ = saturation.saturation_level(
        np.full((1, 1), 100, np.float32), np.zeros((1, 1), np.uint32), nframes=4
    )
    assert [2.5, 6.5, 10.5] == [level.mean_frame(k) for k in range(3)]
