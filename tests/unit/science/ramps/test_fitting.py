"""Ramp fit: exact slopes, variances by hand, flags, single groups, bands of rows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe.errors import NoProduct
from stpipe.models import dqflags
from stpipe.science.ramps import fitting
from stpipe.science.ramps.samples import Ramps

JUMP, SAT, DNU = dqflags.JUMP_DET, dqflags.SATURATED, dqflags.DO_NOT_USE
CHARGELOSS = dqflags.CHARGELOSS
GAIN, READNOISE, TIME = 2.0, 8.0, 5.0
NOISE = READNOISE * GAIN / np.sqrt(2)  # of one group, in e-


def ramps(samples: Any, groupdq: Any = None, **changes: Any) -> Ramps:
    """One pixel with `samples` (groups) or (integrations, groups)."""
    data = np.atleast_2d(np.asarray(samples, dtype=np.float32))[..., None, None]
    flags = np.zeros(data.shape, np.uint8)
    if groupdq is not None:
        flags[...] = np.asarray(groupdq, dtype=np.uint8).reshape(data.shape)
    arrays = {
        "data": data,
        "groupdq": flags,
        "original": flags,
        "pixeldq": np.zeros((1, 1), np.uint32),
        "gain": np.full((1, 1), GAIN, np.float32),
        "readnoise": np.full((1, 1), READNOISE, np.float32),
        "dark": np.zeros((1, 1), np.float32),
        "zeroframe": None,
    }
    return Ramps(**{**arrays, **changes})


def fit(given: Ramps, suppress_one_group: bool = True, nframes: int = 1) -> Any:
    """Rates of the only pixel: of the exposure, and of the integrations."""
    times = fitting.FitTimes(TIME, TIME / nframes, nframes, 0, 0)
    rate, rateints = fitting.fit_ramps(given, times, suppress_one_group=suppress_one_group)
    names = ("data", "dq", "var_poisson", "var_rnoise", "err")
    exposure = SimpleNamespace(**{n: getattr(rate, n)[0, 0] for n in names})
    return exposure, SimpleNamespace(**{n: getattr(rateints, n)[:, 0, 0] for n in names})


@given(st.integers(2, 40), st.integers(-100, 3000), st.integers(-1000, 1000))
def test_slope_of_a_straight_ramp_is_exact(ngroups: int, rise: int, start: int) -> None:
    """Whatever the weights, a noiseless ramp has its own slope."""
    rate, rateints = fit(ramps(start + rise * np.arange(ngroups)))
    assert rate.data == pytest.approx(rise / TIME, rel=1e-6, abs=1e-6)
    assert rateints.data[0] == pytest.approx(rise / TIME, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("ngroups", [3, 4, 10])
def test_variances_of_one_segment(ngroups: int) -> None:
    """Poisson noise over the time of the segment; read noise of an unweighted line."""
    rise = 10.0
    rate, rateints = fit(ramps(rise * np.arange(ngroups)))
    poisson = rise / TIME / (TIME * GAIN * (ngroups - 1))
    read = 12 * (NOISE / TIME) ** 2 / ((ngroups**3 - ngroups) * GAIN**2)
    assert rate.var_poisson == pytest.approx(poisson)
    assert rate.var_rnoise == pytest.approx(read)
    assert rate.err == pytest.approx(np.sqrt(poisson + read))
    assert rateints.err[0] == pytest.approx(np.sqrt(poisson + read))


def test_dark_current_adds_to_the_poisson_variance_only() -> None:
    """The average dark current counts like signal for noise, and not for the slope."""
    dark = np.full((1, 1), 3, np.float32)
    rate, _ = fit(ramps(10.0 * np.arange(5), dark=dark))
    assert rate.data == pytest.approx(10 / TIME)
    assert rate.var_poisson == pytest.approx((10 / TIME + 3) / (TIME * GAIN * 4))


def test_jump_splits_a_ramp() -> None:
    """A jump ends one segment and starts the next; their slopes are averaged by read noise."""
    samples = [0, 10, 20, 1020, 1050, 1080, 1110]
    rate, _ = fit(ramps(samples, [0, 0, 0, JUMP, 0, 0, 0]))
    inverse = [27 - 3, 64 - 4]  # of the read variances, but for a common factor
    assert rate.data == pytest.approx((inverse[0] * 10 + inverse[1] * 30) / sum(inverse) / TIME)
    read = 12 * (NOISE / TIME) ** 2 / GAIN**2 / sum(inverse)
    assert rate.var_rnoise == pytest.approx(read)
    assert rate.dq == JUMP


def test_unusable_jump_starts_no_segment() -> None:
    """A jump that is DO_NOT_USE as well is left out altogether."""
    rate, _ = fit(ramps([0, 10, 20, 9000, 30, 40, 50], [0, 0, 0, JUMP | DNU, 0, 0, 0]))
    assert rate.data == pytest.approx(10 / TIME)


def test_jumps_do_not_count_for_poisson_noise() -> None:
    """The median rate leaves differences over jumps and unusable groups out."""
    rate, _ = fit(ramps([0, 10, 1000], [0, 0, JUMP]))
    assert rate.var_poisson == pytest.approx(10 / TIME / (TIME * GAIN))
    rate, _ = fit(ramps([0, 10, 1000, 5000], [0, 0, DNU, DNU]))
    assert rate.var_poisson == pytest.approx(10 / TIME / (TIME * GAIN))


def test_enormous_variance_means_that_nothing_is_known() -> None:
    """Variances from 1e6 on become 0, and with the read noise the slope."""
    noisy = np.full((1, 1), 1e5, np.float32)
    rate, rateints = fit(ramps([0, 10], readnoise=noisy))
    assert (rate.var_rnoise, rate.data, rateints.err[0]) == (0, 0, 0)
    assert rate.var_poisson > 0


def test_power_of_the_weights_steps_at_signal_to_noise_20() -> None:
    """Below 20 weights grow with the distance from the middle, above with its cube."""
    k = np.arange(10) - 4.5
    for snr, power in ((19.9, 1), (20.1, 3)):
        # Signal in e- with this ratio to the root of itself plus the square of the read noise.
        signal = (snr**2 + np.sqrt(snr**4 + 4 * snr**2 * NOISE**2)) / 2 / GAIN
        rate, _ = fit(ramps(signal * np.array([0] * 9 + [1])))
        weights = np.abs(k / 4.5) ** power
        expected = signal * weights[-1] * k[-1] / (weights * k**2).sum() / TIME
        assert rate.data == pytest.approx(expected, rel=1e-5)


def test_segments_of_one_group_count_only_alone() -> None:
    """Single groups are left out beside longer segments; else the first of them is used."""
    rate, _ = fit(ramps([0, 10, 500, 7, 900], [0, 0, DNU, 0, DNU]))
    assert rate.data == pytest.approx(10 / TIME)
    rate, _ = fit(ramps([40, 10, 500], [0, DNU, 0]))
    assert rate.data == pytest.approx(40 / TIME)


def test_weights_follow_the_signal_to_noise() -> None:
    """At high signal to noise the ends of a ramp decide, at low all groups."""
    bent = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0])
    flat, _ = fit(ramps(bent))
    steep, _ = fit(ramps(bent * 1e6))
    k = np.arange(10) - 4.5
    weights = np.abs(k / 4.5) ** 10
    assert flat.data == pytest.approx(k[-1] / (k**2).sum() / TIME)
    expected = weights[-1] * k[-1] / (weights * k**2).sum() * 1e6 / TIME
    assert steep.data == pytest.approx(expected, rel=1e-5)


def test_saturated_groups_end_a_ramp() -> None:
    """Slopes come from the groups before saturation; the flag says that there was some."""
    rate, rateints = fit(ramps([0, 10, 20, 60000, 60000], [0, 0, 0, SAT, SAT]))
    assert rate.data == pytest.approx(10 / TIME)
    assert (rate.dq, rateints.dq[0]) == (SAT, SAT)


@pytest.mark.parametrize(
    ("groupdq", "dq"), [([SAT] * 4, DNU | SAT), ([DNU] * 4, DNU), ([DNU, DNU, SAT, SAT], DNU | SAT)]
)
def test_ramps_without_usable_groups_have_no_rate(groupdq: list[int], dq: int) -> None:
    """Nothing usable: NaN, no uncertainty, and flags that say so."""
    rate, rateints = fit(ramps([0, 10, 20, 30], groupdq))
    assert np.isnan(rate.data)
    assert np.isnan(rateints.data[0])
    assert (rate.var_poisson, rate.var_rnoise, rate.err) == (0, 0, 0)
    assert rate.dq == dq


def test_gain_that_is_not_positive_gives_no_rate() -> None:
    """Without gain a pixel is unusable, and it is said why."""
    for gain in (0, -1, np.nan):
        rate, _ = fit(ramps([0, 10, 20], gain=np.full((1, 1), gain, np.float32)))
        assert np.isnan(rate.data)
        assert rate.dq == DNU | dqflags.NO_GAIN_VALUE


def test_integrations_are_averaged_by_read_noise() -> None:
    """An integration cut short counts less; one without groups does not count."""
    samples = [[0, 10, 20, 30], [0, 40, 80, 0], [0, 0, 0, 0]]
    rate, rateints = fit(ramps(samples, [[0] * 4, [0, 0, 0, SAT], [DNU] * 4]))
    assert rateints.data[:2] == pytest.approx([10 / TIME, 40 / TIME])
    assert np.isnan(rateints.data[2])
    assert rate.data == pytest.approx((60 * 10 + 24 * 40) / 84 / TIME)
    assert rate.dq == SAT


def test_persistence_is_passed_on_and_does_not_cut() -> None:
    """PERSISTENCE groups are used."""
    persistence = dqflags.PERSISTENCE
    rate, _ = fit(ramps([0, 10, 20], [0, persistence, 0]))
    assert rate.data == pytest.approx(10 / TIME)
    assert rate.dq == persistence


def test_only_the_first_group_is_good() -> None:
    """It gives a rate over the time from reset to the mean of its frames."""
    rate, _ = fit(ramps([30, 0, 0], [0, SAT, SAT]), suppress_one_group=False, nframes=4)
    assert rate.data == pytest.approx(30 / (5 / 2 * TIME / 4))


def test_zero_frame_stands_in_for_groups() -> None:
    """Without a good group the zero frame gives a rate over the time of one frame; 0 is no data."""
    frame = np.full((1, 1, 1), 30, np.float32)
    given_ramps = ramps([0, 0], [SAT, SAT], zeroframe=frame)
    rate, _ = fit(given_ramps, suppress_one_group=False, nframes=4)
    assert rate.data == pytest.approx(30 / (TIME / 4))
    assert rate.dq == SAT
    nothing, _ = fit(ramps([0, 0], [SAT, SAT], zeroframe=frame * 0), suppress_one_group=False)
    assert np.isnan(nothing.data)


def test_charge_loss_counts_for_read_noise() -> None:
    """Groups lost to charge migration reduce the read noise, but give no slope."""
    lost = CHARGELOSS | DNU
    rate, rateints = fit(ramps([0, 10, 20, 99, 99, 99], [0, 0, 0, lost, lost, lost]))
    assert rate.data == pytest.approx(10 / TIME)
    read = 12 * (NOISE / TIME) ** 2 / ((6**3 - 6) * GAIN**2)
    assert (rate.var_rnoise, rateints.var_rnoise[0]) == pytest.approx((read, read))


def test_single_good_groups_are_suppressed() -> None:
    """Exactly one good group makes the ramp unusable; PERSISTENCE does not matter."""
    groupdq = np.array([[0, DNU, DNU], [0, 0, DNU], [32, SAT, JUMP]], np.uint8)
    flags = fitting.suppress_single_groups(groupdq.T[None, ..., None])
    assert [[1, 1, 1], [0, 0, 1], [33, 3, 5]] == flags[0, ..., 0].T.tolist()


def test_groups_are_selected_by_number() -> None:
    """Groups outside first and last become unusable; an empty selection is ignored."""
    assert [1, 0, 0, 0, 1] == fitting.groups_outside(5, 1, 3).tolist()
    assert [0, 0, 0, 1, 1] == fitting.groups_outside(5, -1, 2).tolist()
    assert [0, 0, 0, 0, 0] == fitting.groups_outside(5, 3, 3).tolist()
    assert [0, 0, 0, 0, 0] == fitting.groups_outside(5, None, None).tolist()


def test_groups_unusable_everywhere_are_trimmed() -> None:
    """Leading ones and the last are cut off, and the new first group is no jump."""
    kept = fitting.usable_groups(np.array([True, True, False, False, False, True]))
    trimmed = fitting.trim_groups(ramps(np.arange(6), [DNU, DNU, JUMP, 0, 0, DNU]), *kept)
    assert [2, 3, 4] == trimmed.data.ravel().tolist()
    assert [0, 0, 0] == trimmed.groupdq.ravel().tolist()
    with pytest.raises(NoProduct, match="1 usable groups"):
        fitting.usable_groups(np.array([True, False, True]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_bands_give_the_same_rates(seed: int, height: int) -> None:
    """Rows do not depend on each other."""
    rng = np.random.default_rng(seed)
    shape = (2, 6, 5, 70)
    data = np.cumsum(rng.exponential(30, shape), axis=1).astype(np.float32)
    few = (0, 0, 0, 0, SAT, DNU, JUMP)
    groupdq = np.array(few, np.uint8)[rng.integers(0, len(few), shape)]
    image = np.ones(shape[2:], np.float32)
    times = fitting.FitTimes(TIME, TIME, 1, 0, 0)

    def fit_rows(rows: slice) -> tuple[fitting.Rates, fitting.Rates]:
        cubes = data[:, :, rows], groupdq[:, :, rows], groupdq[:, :, rows]
        part = image[rows]
        band = Ramps(*cubes, part.astype(np.uint32), part * 2, part * 8, part * 0, None)
        return fitting.fit_ramps(band, times, suppress_one_group=False)

    whole = fit_rows(slice(None))
    for start in range(0, 5, height):
        rows = slice(start, start + height)
        for band, full in zip(fit_rows(rows), whole, strict=True):
            for name in ("data", "dq", "var_poisson", "var_rnoise", "err"):
                np.testing.assert_array_equal(
                    getattr(band, name), getattr(full, name)[..., rows, :]
                )


def test_segments_are_described() -> None:
    """Slopes, intercepts and heights of jumps, with the first group counted as 0."""
    given_ramps = ramps([100, 110, 120, 1120, 1150, 1180], [0, 0, 0, JUMP, 0, 0])
    times = fitting.FitTimes(TIME, TIME, 1, 0, 0)
    segments = fitting.describe_segments(given_ramps, times, suppress_one_group=True)
    assert segments.slope.ravel() == pytest.approx([10 / TIME, 30 / TIME])
    assert segments.yint.ravel() == pytest.approx([100, 1030], rel=1e-5)
    assert segments.crmag.ravel().tolist() == [1000]
    rate, _ = fit(given_ramps)
    assert segments.pedestal.ravel() == pytest.approx([100 - rate.data])


@pytest.mark.parametrize(
    ("exposure_type", "lamp_mode", "expected"),
    [
        ("MIR_MRS", None, True),
        ("NRS_IFU", None, True),
        ("NRS_LAMP", "IFU", True),
        ("NRS_LAMP", "IMAGE", False),
        ("NRC_IMAGE", "IFU", False),
    ],
)
def test_integral_field_units_have_images_of_their_own(
    exposure_type: str, lamp_mode: str | None, expected: bool
) -> None:
    """Spectrographs with an integral-field unit, also when a lamp shines through it."""
    meta = SimpleNamespace(
        exposure=SimpleNamespace(type=exposure_type),
        instrument=SimpleNamespace(lamp_mode=lamp_mode),
    )
    assert expected == fitting.is_integral_field(meta)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(2, 9), st.sampled_from([0, 0.02, 0.5])
)
def test_neighbours_do_not_matter(seed: int, nints: int, ngroups: int, flagged: float) -> None:
    """Pixels fitted side by side have to the last bit what they have one by one."""
    rng = np.random.default_rng(seed)
    shape, frame = (nints, ngroups, 2, 70), (2, 70)
    data = np.cumsum(rng.normal(20, 15, shape), axis=1).astype(np.float32)
    data[rng.random(shape) < flagged / 50] = np.nan
    groupdq = (rng.random(shape) < flagged) * rng.choice(
        np.array([JUMP, SAT, DNU, dqflags.PERSISTENCE], np.uint8), shape
    )
    # Groups that no pixel uses, at both ends, are no flags of a single pixel.
    groupdq[:, : rng.integers(0, 2)] = groupdq[-1, ngroups - rng.integers(0, 2) :] = DNU
    pixeldq = (rng.random(frame) < flagged / 10) * np.uint32(DNU)
    noise = np.where(rng.random(frame) < flagged / 10, 0, 8).astype(np.float32)
    given = replace(
        ramps(np.zeros((nints, ngroups))),
        data=data,
        groupdq=groupdq,
        original=groupdq,
        pixeldq=pixeldq,
        readnoise=noise,
        gain=rng.choice(np.array([-1, 2, 2, 2, 2, 2, 2, 2], np.float32), frame),
        dark=rng.random(frame, np.float32),
    )
    times = fitting.FitTimes(TIME, TIME, 1, 0, 0)
    together = fitting.fit_ramps(given, times, suppress_one_group=True)
    for x in range(frame[1]):
        own = {n: a[..., x : x + 1] for n, a in vars(given).items() if a is not None}
        alone = fitting.fit_ramps(replace(given, **own), times, suppress_one_group=True)
        for whole, part in zip(together, alone, strict=True):
            for name, array in vars(whole).items():
                np.testing.assert_array_equal(array[..., x], getattr(part, name)[..., 0], name)


def pixel(samples: Any, groupdq: Any, *, suppress: bool) -> tuple[Any, Any]:
    """Rates of one pixel with `samples` (integrations, groups) and flags."""
    data = np.asarray(samples, np.float32)[..., None, None]
    flags = np.asarray(groupdq, np.uint8).reshape(data.shape)
    image = np.ones((1, 1), np.float32)
    if suppress:
        flags = fitting.suppress_single_groups(flags)
    ramps = Ramps(
        data=data,
        groupdq=flags,
        original=flags,
        pixeldq=np.zeros((1, 1), np.uint32),
        gain=GAIN * image,
        readnoise=READNOISE * image,
        dark=0 * image,
        zeroframe=None,
    )
    times = fitting.FitTimes(TIME, TIME, 1, 0, 0)
    return fitting.fit_ramps(ramps, times, suppress_one_group=suppress)


def test_errors_of_exposures_and_integrations_differ_for_several_segments() -> None:
    """The root of the two variances, and the sum weighted by the variances of segments."""
    samples = [[0, 10, 20, 530, 540, 550, 560, 570]]
    rate, rateints = pixel(samples, [[0, 0, 0, JUMP, 0, 0, 0, 0]], suppress=True)
    var_p = [2 / (TIME * GAIN * n) for n in (2, 4)]
    noise = READNOISE * GAIN / np.sqrt(2)
    var_r = [12 * (noise / TIME) ** 2 / ((n**3 - n) * GAIN**2) for n in (3, 5)]
    both = 1 / sum(1 / np.array(var_p)) + 1 / sum(1 / np.array(var_r))
    assert np.sqrt(both) == pytest.approx(rate.err[0, 0], rel=1e-5)
    each = 1 / sum(1 / (np.array(var_p) + np.array(var_r)))
    assert np.sqrt(each) == pytest.approx(rateints.err[0, 0, 0], rel=1e-5)
    assert rateints.err[0, 0, 0] > rate.err[0, 0]


def test_poisson_noise_has_no_weight() -> None:
    """A bright integration with less read noise than a faint one counts as the longer one does."""
    samples = [[0, 1000, 2000, 3000], [0, 10, 0, 0]]
    rate, _ = pixel(samples, [[0, 0, 0, 0], [0, 0, DNU, DNU]], suppress=False)
    weights = np.array([(4**3 - 4) / 12, 1 / 2])
    expected = np.average([1000 / TIME, 10 / TIME], weights=weights)
    assert expected == pytest.approx(rate.data[0, 0], rel=1e-5)


def test_a_ramp_of_jumps_alone_has_the_rate_0_without_a_flag() -> None:
    """It has no segment, and nothing that would tell."""
    rate, _ = pixel([[0, 10, 20]], [[JUMP, JUMP, JUMP]], suppress=True)
    assert 0 == rate.data[0, 0]
    assert 0 == rate.dq[0, 0] & DNU
    assert JUMP == rate.dq[0, 0]


def test_a_jump_and_a_good_group_are_a_single_good_group() -> None:
    """Although both together would make a segment."""
    flags = [[JUMP, 0, DNU]]
    suppressed, _ = pixel([[0, 10, 20]], flags, suppress=True)
    assert np.isnan(suppressed.data[0, 0])
    kept, _ = pixel([[0, 10, 20]], flags, suppress=False)
    assert 10 / TIME == pytest.approx(kept.data[0, 0])
