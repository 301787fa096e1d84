"""Pixels without a value: what their neighbours say of them."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.models import dqflags
from stpipe.science.spectra.replacement import along_gradient, by_profile

UNKNOWN = dqflags.DO_NOT_USE


def image(rows: int = 12, columns: int = 14) -> dict[str, np.ndarray]:
    """A spectrum along rows: the same profile in every column, brighter to the right."""
    profile = np.exp(-0.5 * ((np.arange(rows) - 5.3) / 1.5) ** 2)
    data = (profile[:, np.newaxis] * np.linspace(90, 110, columns)).astype(np.float32)
    return {"data": data, "err": np.sqrt(data) / 10, "var_rnoise": data / 100}


def without(
    values: dict[str, np.ndarray], *places: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    dq = np.zeros(values["data"].shape, dtype=np.uint32)
    values = {name: array.copy() for name, array in values.items()}
    for place in places:
        dq[place] = UNKNOWN
        for array in values.values():
            array[place] = np.nan
    return values, dq


def test_the_smaller_step_decides() -> None:
    """Along the spectrum where the profile is steep; across it at a line."""
    values = image()
    values["data"][:, 8] *= 3
    cut, dq = without(values, (4, 5), (5, 9))
    found, flags = along_gradient(cut, dq)

    data = values["data"]
    assert pytest.approx((data[4, 4] + data[4, 6]) / 2) == found["data"][4, 5]
    assert pytest.approx((data[4, 9] + data[6, 9]) / 2) == found["data"][5, 9]
    root = (np.sqrt(values["var_rnoise"][4, 4]) + np.sqrt(values["var_rnoise"][4, 6])) / 2
    assert pytest.approx(root**2, rel=1e-6) == found["var_rnoise"][4, 5]
    assert dqflags.FLUX_ESTIMATED == flags[4, 5]
    assert np.isnan(cut["data"][4, 5]), "the input stays"


def test_what_has_no_neighbours_stays_unknown() -> None:
    """Pixels at the edges, and in the middle of others without value; NON_SCIENCE stays unused."""
    places = [(0, 4), (11, 3), *((y, x) for y in (5, 6, 7) for x in (5, 6, 7)), (3, 10)]
    cut, dq = without(image(), *places)
    dq[3, 10] |= dqflags.NON_SCIENCE
    found, flags = along_gradient(cut, dq)

    for place in ((0, 4), (11, 3), (6, 6)):
        assert np.isnan(found["data"][place])
        assert UNKNOWN == flags[place]
    assert np.isfinite(found["data"][3, 10])
    assert UNKNOWN | dqflags.NON_SCIENCE | dqflags.FLUX_ESTIMATED == flags[3, 10]


def test_the_profile_of_neighbours_is_scaled() -> None:
    """Where the profile is the same everywhere the light that is missing comes back."""
    values = image()
    cut, dq = without(values, (5, 6), (6, 6), (2, 9))
    turned = {name: array.T for name, array in cut.items()}
    found, flags = by_profile(turned, dq.T, 3)

    for place in ((6, 5), (6, 6), (9, 2)):
        assert pytest.approx(values["data"].T[place], rel=1e-5) == found["data"][place]
        assert pytest.approx(values["var_rnoise"].T[place], rel=0.1) == found["var_rnoise"][place]
        assert dqflags.FLUX_ESTIMATED == flags[place]
    same = dq.T == 0
    np.testing.assert_array_equal(turned["data"][same], found["data"][same])
