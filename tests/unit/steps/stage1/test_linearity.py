"""Linearity: polynomials, pixels without one, reads within groups."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stpipe.models import dqflags
from stpipe.steps.stage1 import linearity


def coefficients(*terms: float, shape: tuple[int, int] = (1, 1)) -> np.ndarray:
    """The same polynomial for all pixels."""
    return np.broadcast_to(np.array(terms, dtype=np.float32)[:, None, None], (len(terms), *shape))


@given(st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=6), st.floats(-3, 3, width=32))
def test_polynomial_is_evaluated(terms: list[float], x: float) -> None:
    """Coefficient n belongs to the nth power."""
    value = linearity.polynomial(coefficients(*terms), np.full((1, 1), x, np.float32))
    expected = sum(c * x**n for n, c in enumerate(terms))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


def test_saturated_groups_stay() -> None:
    """Only groups without SATURATED are corrected, whatever other flags there are."""
    data = np.full((1, 3, 1, 1), 3, np.float32)
    groupdq = np.array([0, dqflags.SATURATED, dqflags.DO_NOT_USE], np.uint8).reshape(1, 3, 1, 1)
    corrected = linearity.correct_groups(data, groupdq, coefficients(1, 2, 1))
    assert [16, 3, 16] == corrected.ravel().tolist()


def test_pixels_without_polynomial_stay_and_are_flagged() -> None:
    """Flagged, NaN and missing linear terms: counts are kept, NO_LIN_CORR tells it."""
    coeffs = coefficients(0, 2, 1, shape=(1, 4)).copy()
    coeffs[2, 0, 1] = np.nan
    coeffs[1, 0, 2] = 0
    dq = np.array([[0, 0, 0, dqflags.NO_LIN_CORR]], np.uint32)
    found = linearity.Polynomials.of(coeffs, dq)
    bit = dqflags.NO_LIN_CORR
    assert [[0, bit, bit, bit]] == found.flags.tolist()
    data = np.full((1, 1, 1, 4), 3, np.float32)
    corrected = linearity.correct_groups(data, np.zeros(data.shape, np.uint8), found.coeffs)
    assert [15, 3, 3, 3] == corrected.ravel().tolist()


def test_zero_frame_without_data_stays() -> None:
    """0 means no data, also when the polynomial has a constant term."""
    frame = np.array([[[0, 3]]], np.float32)
    assert [0, 16] == linearity.correct_zeroframe(frame, coefficients(1, 2, 1)).ravel().tolist()


def test_reads_are_corrected_before_they_are_averaged() -> None:
    """A group of four reads becomes the mean of the four corrected reads."""
    forward, backward = coefficients(0, 1, 1e-3), coefficients(0, 1, -1e-3, 2e-6)
    linear = 2.0 * np.arange(1, 17)
    reads = linear - 1e-3 * linear**2 + 2e-6 * linear**3
    data = reads.reshape(1, 4, 4).mean(axis=2)[..., None, None].astype(np.float32)
    groupdq = np.zeros(data.shape, np.uint8)
    by_reads = linearity.correct_reads(data, groupdq, (forward, backward), 4)
    by_groups = linearity.correct_groups(data, groupdq, forward)
    truth = (reads + 1e-3 * reads**2).reshape(4, 4).mean(axis=1)
    assert np.abs(by_reads.ravel() - truth).max() < 1e-4
    assert np.abs(by_groups.ravel() - truth).max() > 4e-3


def test_last_good_group_predicts_no_reads() -> None:
    """The last group before saturation may be touched by it: the others do not depend on it."""
    polynomials = coefficients(0, 1, 1e-3), coefficients(0, 1, -1e-3)
    data = np.array([4, 12, 20, 28, 90], np.float32).reshape(1, 5, 1, 1)
    groupdq = np.array([0, 0, 0, 0, dqflags.SATURATED], np.uint8).reshape(1, 5, 1, 1)
    corrected = linearity.correct_reads(data, groupdq, polynomials, 4)
    data[0, 3] = 80
    other = linearity.correct_reads(data, groupdq, polynomials, 4)
    np.testing.assert_array_equal(corrected[0, :3], other[0, :3])
    assert other[0, 4] == 90
    data[0, 2] = 80
    third = linearity.correct_reads(data, groupdq, polynomials, 4)
    assert (corrected[0, :2] != third[0, :2]).all()
