"""Jump detection: planted jumps, neighbours, transients, bands of rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.steps.stage1.jump import step as jump
from stpipe.steps.stage1.jump.step import JumpStep
from stpipe.testing import apply

JUMP, SAT, DNU = dqflags.JUMP_DET, dqflags.SATURATED, dqflags.DO_NOT_USE


def rules(**changes: object) -> jump.JumpRules:
    """Default thresholds, no neighbours."""
    given_rules = {
        "rejection_threshold": 4.0,
        "four_group_rejection_threshold": 5.0,
        "three_group_rejection_threshold": 6.0,
        "nframes": 1,
        "single_pass": False,
    }
    return jump.JumpRules(**{**given_rules, **changes})


def between(least: float, most: float) -> dict[str, object]:
    """Jumps of so many sigma reach their neighbours."""
    return {"min_jump_to_flag_neighbors": least, "max_jump_to_flag_neighbors": most}


def steady(ngroups: int, rows: int = 5, columns: int = 7, nints: int = 1) -> np.ndarray:
    """Noiseless ramps of 10 DN in a group."""
    ramp = np.arange(ngroups, dtype=np.float32) * 10
    return np.broadcast_to(ramp[:, None, None], (nints, ngroups, rows, columns)).copy()


def detect(data: np.ndarray, **changes: object) -> np.ndarray:
    """Flags for a gain of 2 e-/DN and a read noise of 5 DN."""
    groupdq = changes.pop("groupdq", np.zeros(data.shape, np.uint8))
    shape = data.shape[2:]
    gain, readnoise = np.full(shape, 2, np.float32), np.full(shape, 5, np.float32)
    flags, _ = jump.detect_jumps(data, groupdq, gain, readnoise, rules(**changes))
    return flags


@pytest.mark.parametrize("single_pass", [True, False])
@given(
    st.integers(5, 30),
    st.data(),
    st.floats(60, 5000),
    st.integers(1, 3),
)
def test_planted_jump_is_flagged_and_nothing_else(
    single_pass: bool, ngroups: int, draw: st.DataObject, height: float, nints: int
) -> None:
    """A jump above noise is flagged in exactly its group, of any integration, row and column."""
    data = steady(ngroups, nints=nints)
    i, k = draw.draw(st.integers(0, nints - 1)), draw.draw(st.integers(1, ngroups - 1))
    y, x = draw.draw(st.integers(0, 4)), draw.draw(st.integers(0, 6))
    data[i, k:, y, x] += np.float32(height)
    expected = np.zeros(data.shape, dtype=np.uint8)
    expected[i, k, y, x] = JUMP
    np.testing.assert_array_equal(detect(data, single_pass=single_pass), expected)


def test_threshold_is_in_sigma() -> None:
    """With 20 e- Poisson and 10 e- read noise, a jump is 4 times the root of 120 e- above 20 e-."""
    sigma = np.sqrt(20 + 10**2)
    for excess, flagged in ((3.99, 0), (4.01, JUMP)):
        data = steady(6)
        data[:, 3:] += np.float32(excess * sigma / 2)
        assert flagged == detect(data)[0, 3, 0, 0]


@pytest.mark.parametrize(("ndiffs", "threshold"), [(3, 5.0), (2, 6.0)])
def test_short_ramps_have_thresholds_of_their_own(ndiffs: int, threshold: float) -> None:
    """Three differences use the threshold named after four groups, two that after three."""
    sigma = np.sqrt(20 + 10**2)
    for excess, flagged in ((threshold - 0.01, 0), (threshold + 0.01, JUMP)):
        data = steady(ndiffs + 1)
        data[:, 1:] += np.float32(excess * sigma / 2)
        assert flagged == detect(data)[0, 1, 0, 0]


def test_largest_difference_is_compared_with_the_others() -> None:
    """Of four differences the largest takes no part in the median that it is compared with."""
    differences = np.array([10, 30, 10, 33], dtype=np.float32)  # median of the others 10, of all 20
    data = np.concatenate([[0], np.cumsum(differences)])[None, :, None, None].astype(np.float32)
    assert [0, 0, 0, 0, JUMP] == detect(data).ravel().tolist()


def test_pixels_without_noise_have_no_jumps() -> None:
    """A deviation of 0 would make every difference a jump."""
    data = np.zeros((1, 6, 1, 1), dtype=np.float32)
    data[0, 3:] = 100
    one, none = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    for single_pass in (True, False):
        given_rules = rules(single_pass=single_pass)
        flags, _ = jump.detect_jumps(data, np.zeros(data.shape, np.uint8), one, none, given_rules)
        assert not flags.any()


def test_averaged_frames_have_less_read_noise() -> None:
    """The variance of the read noise is divided by NFRAMES."""
    data = steady(6)
    data[:, 3:] += np.float32(4.01 * np.sqrt(20 + 10**2 / 4) / 2)
    assert detect(data, nframes=4)[0, 3, 0, 0] == JUMP
    assert detect(data, nframes=3)[0, 3, 0, 0] == 0


def test_only_the_four_neighbours_of_moderate_jumps_are_flagged() -> None:
    """Jumps between the two limits reach up, down, left and right in their group."""
    data = steady(8)
    data[0, 4:, 2, 3] += 500  # about 90 sigma
    flags = detect(data, **between(10.0, 200.0))
    assert [(2, 3), (1, 3), (3, 3), (2, 2), (2, 4)] == sorted(
        map(tuple, np.argwhere(flags[0, 4] == JUMP).tolist()),
        key=lambda at: (at != (2, 3), at[0] == 2, at),
    )
    assert np.count_nonzero(flags) == 5
    for spread in ((10.0, 50.0), (150.0, 1000.0)):
        assert np.count_nonzero(detect(data, **between(*spread))) == 1


def test_neighbours_that_are_unusable_stay_unflagged() -> None:
    """JUMP_DET adds nothing to SATURATED and DO_NOT_USE."""
    data = steady(8)
    data[0, 4:, 2, 3] += 500
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[0, 4, 2, 2], groupdq[0, 4, 1, 3] = SAT, DNU
    flags = detect(data, **between(10.0, 1000.0), groupdq=groupdq)
    assert flags[0, 4, 2, 2] == SAT
    assert flags[0, 4, 1, 3] == DNU
    assert np.count_nonzero(flags == JUMP) == 3


def test_groups_after_large_jumps_are_flagged() -> None:
    """Jumps above a limit in e- are followed by flagged groups, up to the end of the ramp."""
    data = steady(8)
    data[0, 2:, 0, 0] += 500
    data[0, 6:, 1, 1] += 500
    data[0, 2:, 2, 2] += 100
    found = detect(data)
    gain = np.full((5, 7), 2, np.float32)
    flags = jump.flag_after_jumps(data, found, gain, [jump.AfterJump(600.0, 3)])
    assert [2, 3, 4, 5] == np.flatnonzero(flags[0, :, 0, 0]).tolist()
    assert [6, 7] == np.flatnonzero(flags[0, :, 1, 1]).tolist()
    assert [2] == np.flatnonzero(flags[0, :, 2, 2]).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_bands_with_a_halo_of_one_row_give_the_same_flags(seed: int, height: int) -> None:
    """Whatever the height of a band, its inner rows are those of the whole frame."""
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 8, (2, 6, 9, 11)).astype(np.float32)
    data += np.where(rng.random(data.shape) < 0.05, 400, 0).astype(np.float32)
    whole = detect(data, **between(10.0, 1000.0))
    for start in range(0, 9, height):
        low, high = max(0, start - 1), min(9, start + height + 1)
        band = detect(data[:, :, low:high], **between(10.0, 1000.0))
        inner = band[:, :, start - low : start - low + height]
        np.testing.assert_array_equal(inner, whole[:, :, start : start + height])


def clipped(data: np.ndarray, height: int = 100, **parameters: object) -> np.ndarray:
    """Flags that the step sets with a gain of 1 e-/DN, when 20 integrations are many."""
    ramp = SimpleNamespace(
        data=data,
        groupdq=np.zeros(data.shape, np.uint8),
        pixeldq=np.zeros(data.shape[2:], np.uint32),
        meta=SimpleNamespace(exposure=SimpleNamespace(nframes=1, group_time=3.0)),
    )
    one = SimpleNamespace(data=np.ones(data.shape[2:], np.float32))
    step = jump.JumpStep(minimum_sigclip_groups=20, flag_4_neighbors=False, **parameters)
    apply(step, ramp, {"gain": one, "readnoise": one}, height)
    return ramp.groupdq


def noisy(nints: int, ngroups: int = 4) -> np.ndarray:
    """Ramps without noise of photons but with a scatter of 100 DN, whatever the references say."""
    rng = np.random.default_rng(1)
    data = rng.uniform(-100, 100, (nints, ngroups, 30, 8)).astype(np.float32)
    data[:, 2] += 5000  # a step that all integrations have
    return data


def test_many_integrations_tell_their_own_scatter() -> None:
    """Clipping leaves scatter and common steps alone, which the noise of the references does not."""
    data = noisy(20)
    data[7, 3:, 5, 5] += 2000

    flags = clipped(data)

    assert [[7, 3, 5, 5]] == np.argwhere(flags).tolist()
    assert np.count_nonzero(clipped(data[:19])) > 100


def test_all_differences_of_a_pixel_may_be_pooled() -> None:
    """Without only_use_ints groups are counted, and a common step is one of many outliers."""
    data = noisy(6, ngroups=40)
    data[:, 2, :, 4:] -= 5000

    flags = clipped(data, only_use_ints=False)

    assert flags[:, 2:4, :, :4].all()
    assert np.count_nonzero(flags) == flags[:, 2:4, :, :4].size


@pytest.mark.parametrize("height", [7, 100])
def test_a_group_in_which_everything_jumps_has_no_jumps(height: int) -> None:
    """It is the scene that has changed; one quiet pixel in any band is enough to doubt that."""
    data = noisy(20)
    data[7, 3:] += 20000
    assert not clipped(data, height).any()

    data[7, 3:, 29, 7] -= 20000
    assert data[7, 3].size - 1 == np.count_nonzero(clipped(data, height))


def test_exposures_with_few_groups_can_be_clipped() -> None:
    """Groups of an integration are not needed when integrations are compared."""
    data = noisy(20)
    data[7, 3:, 5, 5] += 2000
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[:, :2] = DNU
    ramp = SimpleNamespace(
        data=data,
        groupdq=groupdq,
        pixeldq=np.zeros((30, 8), np.uint32),
        meta=SimpleNamespace(exposure=SimpleNamespace(nframes=1, group_time=3.0)),
    )
    one = SimpleNamespace(data=np.ones((30, 8), np.float32))
    references = {"gain": one, "readnoise": one}
    with pytest.raises(Skip):
        apply(jump.JumpStep(), ramp, references)

    apply(jump.JumpStep(minimum_sigclip_groups=20, flag_4_neighbors=False), ramp, references)

    assert [[7, 3, 5, 5]] == np.argwhere(ramp.groupdq & JUMP).tolist()


def test_inputs_stay_as_they_are() -> None:
    """Arrays that are read-only, strided or both are searched all the same."""
    data = steady(6)
    data[:, 3:] += 500
    wide = np.zeros((*data.shape[:3], 2 * data.shape[3]), dtype=np.float32)
    wide[..., ::2] = data
    strided = wide[..., ::2]
    strided.flags.writeable = False
    np.testing.assert_array_equal(detect(strided), detect(data))


def test_gain_that_is_not_positive_is_flagged() -> None:
    """Pixels without gain are DO_NOT_USE, and it is said why."""
    bits = dqflags.NO_GAIN_VALUE | DNU
    gain = np.array([[1, 0, -1, np.nan]], dtype=np.float32)
    assert [[0, bits, bits, bits]] == jump.flag_gain(np.zeros((1, 4), np.uint32), gain).tolist()


@pytest.mark.parametrize("height", [1, 3, 10])
def test_event_rate_counts_the_time_between_usable_groups(height: int) -> None:
    """Each integration has one interval less than groups; groups flagged everywhere have none."""
    groupdq = np.zeros((2, 5, 10, 10), np.uint8)
    groupdq[0, 4] = DNU
    data = np.zeros((2, 5, 10, 10), np.float32)
    data[1, 2:, 4, 7] = 1000
    exposure = SimpleNamespace(nframes=1, group_time=3.0)
    ramp = SimpleNamespace(data=data, groupdq=groupdq, pixeldq=np.zeros((10, 10), np.uint32))
    ramp.meta = SimpleNamespace(exposure=exposure)
    flat = SimpleNamespace(data=np.ones((10, 10), np.float32))

    apply(jump.JumpStep(), ramp, {"gain": flat, "readnoise": flat}, height)

    # One event, whose neighbours do not count; 2 x 4 intervals, one of them unusable.
    assert 1000 * 1 / (3.0 * 7 * 100) == pytest.approx(exposure.primary_cosmic_rays)


@pytest.fixture
def nircam(demo_folder: Path) -> Path:
    return next(demo_folder.glob("uncal/*00001_nrca1_uncal.fits"))


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("fewest", "status"), [(3, "COMPLETE"), (11, "SKIPPED")])
def test_the_least_number_of_groups_is_honoured(nircam: Path, fewest: int, status: str) -> None:
    """An exposure of ten groups; too few are no reason for a negative rate of cosmic rays."""
    ramp = JumpStep(minimum_groups=fewest).run(nircam)
    assert status == ramp.meta.cal_step.jump
    rate = ramp.meta.exposure.primary_cosmic_rays
    assert (rate is None) == (status == "SKIPPED")


def test_showers_have_the_amplitude_that_is_asked_for() -> None:
    """In e-/s, times the time of a group."""
    rules = JumpStep(max_shower_amplitude=2.5).shower_rules(group_time=4.0, nframes=1)
    assert 10.0 == rules.most_change
