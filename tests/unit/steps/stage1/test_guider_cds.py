"""The guider: differences of groups, smaller of two, errors."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.errors import InputError
from stpipe.steps.stage1 import guider_cds


def test_fine_guiding_averages_four_groups_at_either_end() -> None:
    """Of twelve groups the four in the middle do not count."""
    data = np.arange(12.0, dtype=np.float32).reshape(1, 12, 1, 1) ** 2
    counts = guider_cds.count_differences(data, "FGS_FINEGUIDE")
    assert counts.item() == pytest.approx(np.mean([64, 81, 100, 121]) - np.mean([0, 1, 4, 9]))


def test_identification_takes_the_smaller_of_two() -> None:
    """A cosmic ray in one integration does not show."""
    data = np.zeros((2, 2, 1, 2), np.float32)
    data[:, 1] = 10
    data[0, 1, 0, 1] = 5000
    counts = guider_cds.count_differences(data, "FGS_ID-IMAGE")
    np.testing.assert_array_equal([[[10, 10]]], counts)


@pytest.mark.parametrize(
    ("kind", "shape"), [("FGS_ID-STACK", (1, 2, 4, 4)), ("FGS_TRACK", (3, 1, 4, 4))]
)
def test_too_few_groups_are_refused(kind: str, shape: tuple[int, ...]) -> None:
    """A difference needs two."""
    with pytest.raises(InputError, match="two groups"):
        guider_cds.count_differences(np.zeros(shape, np.float32), kind)


def test_errors_are_those_of_reading_and_of_photons() -> None:
    """Negative counts have no photons; an unknown gain makes no number of them."""
    counts = np.array([[[20.0, -20.0, 0.0]]], np.float32)
    gain, readnoise = np.array([[2.0, 2.0, 0.0]], np.float32), np.full((1, 3), 6, np.float32)
    rates, errors = guider_cds.rate_of_differences(counts, 0.5, gain, readnoise)
    np.testing.assert_allclose(rates, counts * 2)
    np.testing.assert_allclose(errors[0, 0, :2], np.sqrt([288 + 20, 288]), rtol=1e-6)
    assert np.isnan(errors[0, 0, 2])
