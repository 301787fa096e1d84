"""Flats: light that comes back, pixels that are not known, the guider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import ReferenceMissing
from stpipe.models import dqflags
from stpipe.science.flats.division import apply_flat, apply_flat_to_guider, usable_flat
from stpipe.steps.stage2.flat_field.step import FlatFieldStep


def test_flats_add_their_error() -> None:
    """In quadrature to that of the rates; an inverse correction leaves it alone."""
    data, err = np.full((2, 1, 2), 8, np.float32), np.full((2, 1, 2), 3, np.float32)
    flat = np.array([[2.0, 1.0]], np.float32), np.array([[0.5, 0.5]], np.float32)
    rates, errors = apply_flat_to_guider(data, err, flat, False)
    np.testing.assert_allclose(rates[0], [[4, 8]])
    np.testing.assert_allclose(errors[0], np.sqrt([[9 + 1, 9 + 16]]))
    rates, errors = apply_flat_to_guider(data, err, flat, True)
    np.testing.assert_allclose(rates[0], [[16, 8]])
    np.testing.assert_allclose(errors, err)


def test_a_flat_undone_is_the_rate_again(rate: Path) -> None:
    """inverse=True takes back what the step did."""
    there = FlatFieldStep().run(rate)
    back = FlatFieldStep(inverse=True).run(there)
    with models.open(rate) as before:
        good = np.isfinite(back.data)
        assert good.any()
        np.testing.assert_allclose(before.data[good], back.data[good], rtol=1e-5)
        np.testing.assert_allclose(before.var_rnoise[good], back.var_rnoise[good], rtol=1e-5)


def test_flats_mark_what_they_do_not_know() -> None:
    """NaN, 0 and NO_FLAT_FIELD exclude a pixel, UNRELIABLE_FLAT does not."""
    flat = np.array([[1.1, 0.0, np.nan, 0.9, 0.8]], np.float32)
    dq = np.array([[0, 0, 0, dqflags.NO_FLAT_FIELD, dqflags.UNRELIABLE_FLAT]], np.uint32)
    response, flags = usable_flat(flat, dq)

    np.testing.assert_allclose(response, [[1.1, 1, 1, 1, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(flags & dqflags.DO_NOT_USE, [[0, 1, 1, 1, 0]])
    values = {n: np.full((1, 5), v, np.float32) for n, v in zip(NAMES, (2, 3, 4), strict=True)}
    found = apply_flat(values, response, np.full((1, 5), 0.1, np.float32))
    assert pytest.approx(2 / 0.8) == found["data"][0, 4]
    assert pytest.approx((2 / 0.8 * 0.1 / 0.8) ** 2) == found["var_flat"][0, 4]
    total = (3 + 4) / 0.8**2 + (2 / 0.8 * 0.1 / 0.8) ** 2
    assert pytest.approx(np.sqrt(total), rel=1e-6) == found["err"][0, 4]


NAMES = ("data", "var_poisson", "var_rnoise")


def test_a_flat_that_is_not_there(rate: Path, tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ReferenceMissing, match=r"nowhere\.fits"):
        FlatFieldStep(user_supplied_flat=str(tmp_path / "nowhere.fits")).run(rate)
