"""Fit by likelihood: exact slopes, calibrated errors, jumps, the zero frame, integrations, bands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe.models import dqflags
from stpipe.science.ramps import likelihood
from stpipe.science.ramps.samples import Ramps

GAIN, READNOISE = 2.0, 8.0  # e-/DN; DN of a difference of two reads
FRAME = 5.0  # seconds
FIELDS = ("data", "dq", "var_poisson", "var_rnoise", "err", "chisq")


def resultants(
    ngroups: int, nframes: int = 1, groupgap: int = 0, *, has_zeroframe: bool = False
) -> likelihood.Resultants:
    """Evenly spaced groups."""
    exposure = SimpleNamespace(
        nframes=nframes, groupgap=groupgap, frame_time=FRAME, read_times=None
    )
    times = likelihood.read_times(exposure, ngroups)
    return likelihood.Resultants.of(times, has_zeroframe=has_zeroframe)


def ramps(data: Any, groupdq: Any = None, zeroframe: Any = None) -> Ramps:
    """Data (integrations, groups, rows, columns)."""
    samples = np.asarray(data, dtype=np.float32)
    image = np.ones(samples.shape[2:], np.float32)
    flags = np.zeros(samples.shape, np.uint8) if groupdq is None else groupdq
    gain, readnoise = image * np.float32(GAIN), image * np.float32(READNOISE)
    return Ramps(
        samples, flags, flags, image.astype(np.uint32) * 0, gain, readnoise, image * 0, zeroframe
    )


def frames(rng: np.random.Generator, rate: float, count: int, shape: tuple[int, int]) -> Any:
    """Single reads in DN (count, rows, columns) of pixels with `rate` DN/s, noise and all."""
    photons = rng.poisson(rate * GAIN * FRAME, (count, *shape)).cumsum(axis=0) / GAIN
    return photons + rng.normal(0, READNOISE / np.sqrt(2), photons.shape)


def averaged(reads: Any, nframes: int) -> Any:
    """One integration of groups that average reads."""
    return reads.reshape(-1, nframes, *reads.shape[1:]).mean(axis=1)[None]


@given(st.integers(4, 40), st.integers(0, 3000), st.integers(-1000, 1000), st.booleans())
def test_slope_of_a_straight_ramp_is_exact(
    ngroups: int, rise: int, start: int, averages: bool
) -> None:
    """Whatever the covariance, a noiseless ramp has its own slope and fits."""
    spaced = resultants(ngroups, *((4, 1) if averages else (1, 0)))
    data = start + rise * np.arange(ngroups).reshape(1, -1, 1, 1)
    rate, _ = likelihood.fit_likely_ramps(ramps(data), spaced)
    assert rate.data[0, 0] == pytest.approx(rise / spaced.matrix()[0, 0], rel=1e-5, abs=1e-6)
    assert rate.chisq[0, 0] == pytest.approx(0, abs=1e-3)
    assert rate.dq[0, 0] == 0


def test_read_noise_alone_weighs_like_a_straight_line() -> None:
    """Without signal the variance is that of an unweighted line through the groups."""
    rate, _ = likelihood.fit_likely_ramps(ramps(np.zeros((1, 10, 1, 1))), resultants(10))
    assert rate.var_poisson[0, 0] == 0
    expected = 12 * (READNOISE / FRAME) ** 2 / 2 / (1000 - 10)
    assert rate.var_rnoise[0, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rate", "nframes", "has_zeroframe"), [(0.5, 1, 0), (20, 4, 0), (20, 4, 1)]
)
def test_errors_are_calibrated(rate: float, nframes: int, has_zeroframe: int) -> None:
    """Slopes are unbiased, pulls have width 1, chi squared its degrees of freedom."""
    rng = np.random.default_rng(7)
    reads = frames(rng, rate, 8 * nframes, (150, 150))
    frame = reads[:1].astype(np.float32) if has_zeroframe else None
    spaced = resultants(8, nframes, has_zeroframe=bool(has_zeroframe))

    fitted, _ = likelihood.fit_likely_ramps(ramps(averaged(reads, nframes), None, frame), spaced)

    deviation = fitted.data - rate
    assert abs(deviation.mean()) < 5 * fitted.err.mean() / 150
    pulls = deviation / fitted.err
    assert pulls.std() == pytest.approx(1, abs=0.03)
    assert fitted.chisq.mean() == pytest.approx(8 - 2 + has_zeroframe, rel=0.03)


@pytest.mark.parametrize("nframes", [1, 4])
def test_jumps_are_found_and_left_out(nframes: int) -> None:
    """Within a group that averages reads a jump spoils two differences, between groups one."""
    rng = np.random.default_rng(8)
    reads = frames(rng, 10.0, 10 * nframes, (60, 60))
    clean = averaged(reads.copy(), nframes)
    reads[5 * nframes + nframes // 2 :, :30] += 400
    spaced = resultants(10, nframes)

    fitted, _ = likelihood.fit_likely_ramps(ramps(averaged(reads, nframes)), spaced)

    jumps = (fitted.dq & dqflags.JUMP_DET) != 0
    assert jumps[:30].all()
    assert jumps[30:].mean() < 0.003
    assert np.median(fitted.data[:30]) == pytest.approx(10, rel=0.02)
    undisturbed, _ = likelihood.fit_likely_ramps(ramps(clean), spaced)
    assert (fitted.err[:30] > undisturbed.err[:30]).mean() > 0.99


def test_flagged_groups_count_for_nothing() -> None:
    """Both differences of a flagged group are left out; without any there is no rate."""
    data = 10.0 * np.arange(8).reshape(1, 8, 1, 1).repeat(2, axis=3)
    data[0, 3, 0, 0] = 5000
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[0, 3, 0, 0] = dqflags.PERSISTENCE
    groupdq[0, :, 0, 1] = dqflags.DO_NOT_USE
    groupdq[0, 6, 0, 1] = dqflags.SATURATED
    with np.errstate(all="ignore"):
        rate, _ = likelihood.fit_likely_ramps(ramps(data, groupdq), resultants(8))
    assert rate.data[0, 0] == pytest.approx(10 / FRAME)
    assert [0, dqflags.DO_NOT_USE | dqflags.SATURATED] == rate.dq[0].tolist()
    assert np.isnan(rate.data[0, 1])


def test_integrations_are_averaged_by_their_variances() -> None:
    """The exposure's rate and error are those of all integrations together."""
    rng = np.random.default_rng(9)
    data = np.concatenate([averaged(frames(rng, 15.0, 6, (80, 80)), 1) for _ in range(4)])
    rate, rateints = likelihood.fit_likely_ramps(ramps(data), resultants(6))
    assert rate.err.mean() == pytest.approx(rateints.err.mean() / 2, rel=0.01)
    np.testing.assert_allclose(rate.data, rateints.data.mean(axis=0), rtol=0.05)
    assert ((rate.data - 15) / rate.err).std() == pytest.approx(1, abs=0.03)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_bands_give_the_same_rates(seed: int, height: int) -> None:
    """Pixels do not depend on each other, wherever they are in a row."""
    rng = np.random.default_rng(seed)
    data = averaged(frames(rng, 20.0, 6, (5, 37)), 1)
    data[0, 3:] += rng.choice([0, 300], (5, 37))
    whole, _ = likelihood.fit_likely_ramps(ramps(data), resultants(6))
    for start in range(0, 5, height):
        place = np.s_[..., start : start + height, start:]
        band, _ = likelihood.fit_likely_ramps(ramps(data[place]), resultants(6))
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(band, name), getattr(whole, name)[place])
