"""The search for jumps: what is planted is found, and what is not is not, as often as theory says.

A difference of two groups is normal with the width sigma around the median of its pixel, which is
itself known to sigma sqrt(pi / 2n) from n differences only. So the threshold T in sigma acts like
T / sqrt(1 + pi / 2n).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from stpipe.models import dqflags
from stpipe.steps.stage1.jump.step import JumpRules, detect_jumps

PIXELS = 200_000
GAIN, READNOISE, TIME = 2.0, 6.0, 10.0  # e-/DN; DN, of a difference; s
THRESHOLD = 4.0


def search(rate: float, ngroups: int, height: float = 0.0, group: int = 2) -> np.ndarray:
    """Where jumps are found (groups, pixels) in ramps of `rate` e-/s.

    A jump of `height` sigma is planted in `group`.
    """
    rng = np.random.default_rng([ngroups, round(1e3 * rate), round(1e3 * height)])
    electrons = np.cumsum(rng.poisson(rate * TIME, (ngroups, PIXELS)), axis=0).astype(np.float64)
    electrons[group:] += height * sigma(rate)
    noise = rng.normal(0, READNOISE / np.sqrt(2), electrons.shape)
    data = (electrons / GAIN + noise).astype(np.float32)[None, :, None]
    image = np.ones((1, PIXELS), np.float32)
    rules = JumpRules(THRESHOLD, 5.0, 6.0, 1, single_pass=ngroups - 1 >= 10)
    flags, _ = detect_jumps(
        data, np.zeros(data.shape, np.uint8), GAIN * image, READNOISE * image, rules
    )
    found: np.ndarray = (flags[0, :, 0] & dqflags.JUMP_DET) != 0
    return found


def sigma(rate: float) -> float:
    """Noise of a difference in e-."""
    return math.sqrt(rate * TIME + (READNOISE * GAIN) ** 2)


def normal_tail(x: float) -> float:
    """Chance of a normal deviate above `x`."""
    return math.erfc(x / math.sqrt(2)) / 2


def known_to(ngroups: int) -> float:
    """Noise of a difference minus the median of all, in sigma."""
    return math.sqrt(1 + math.pi / (2 * (ngroups - 1)))


@pytest.mark.parametrize("ngroups", [11, 12, 30])
@pytest.mark.parametrize("rate", [0.01, 1.0, 10.0, 100.0])
def test_false_jumps(rate: float, ngroups: int) -> None:
    """In quiet ramps as many differences are taken for jumps as the threshold implies."""
    found = search(rate, ngroups).sum() / (PIXELS * (ngroups - 1))
    expected = 2 * normal_tail(THRESHOLD / known_to(ngroups))
    assert 0.5 * expected < found < 1.5 * expected


@pytest.mark.parametrize("ngroups", [6, 10])
@pytest.mark.parametrize("rate", [0.01, 1.0, 10.0, 100.0])
def test_false_jumps_one_by_one(rate: float, ngroups: int) -> None:
    """With few differences the search is stricter where there is no light, as it takes their sizes."""
    found = search(rate, ngroups).sum() / (PIXELS * (ngroups - 1))
    expected = 2 * normal_tail(THRESHOLD / known_to(ngroups))
    assert found < 2 * expected
    if rate >= 10:
        assert found > 0.5 * expected


@pytest.mark.parametrize("ngroups", [10, 12, 30])
@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("height", [3.0, 4.0, 5.0, 6.0, 8.0])
def test_planted_jumps(height: float, rate: float, ngroups: int) -> None:
    """Jumps are found at the efficiency of a threshold on a normal deviate, in their own group."""
    found = search(rate, ngroups, height)
    expected = normal_tail((THRESHOLD - height) / known_to(ngroups))
    assert found[2].mean() == pytest.approx(expected, abs=0.06)
    assert found[0].sum() == 0
