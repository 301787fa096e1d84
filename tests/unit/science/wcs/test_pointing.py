"""Where a telescope looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.science.wcs.pointing import aberration, sky_from_v2v3

angles = st.floats(-3.0, 3.0)


@settings(max_examples=30, deadline=None)
@given(ra=st.floats(0, 359.9), dec=st.floats(-89, 89), roll=st.floats(0, 360), x=angles, y=angles)
def test_pointing_is_a_rotation(ra: float, dec: float, roll: float, x: float, y: float) -> None:
    """The reference point arrives; angles between directions stay; V3 has the position angle."""
    info = {"v2_ref": 120.0, "v3_ref": -500.0, "roll_ref": roll, "ra_ref": ra, "dec_ref": dec}
    to_sky = sky_from_v2v3(info)

    def vector(lon: Any, lat: Any) -> Any:
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    here = vector(*to_sky(120.0, -500.0))
    np.testing.assert_allclose(vector(ra, dec), here, atol=1e-12)
    there = vector(*to_sky(120.0 + 60 * x, -500.0 + 60 * y))
    before = vector(120.0 / 3600, -500.0 / 3600) @ vector(
        (120.0 + 60 * x) / 3600, (-500.0 + 60 * y) / 3600
    )
    assert pytest.approx(before, abs=1e-13) == here @ there
    up = vector(*to_sky(120.0, -499.99)) - here
    north = np.array([0, 0, 1]) - here * here[2]
    assert pytest.approx(np.cos(np.deg2rad(roll)), abs=1e-4) == (
        up @ north / np.linalg.norm(up) / np.linalg.norm(north)
    )


def test_aberration_leaves_the_reference_point() -> None:
    """Distances from it are stretched."""
    stretched = aberration(1.0001, 100.0, -200.0)

    np.testing.assert_allclose(stretched(100.0, -200.0), (100.0, -200.0))
    np.testing.assert_allclose(stretched(110.0, -200.0), (110.001, -200.0))
    np.testing.assert_array_equal(aberration(None, 1.0, 2.0)(5.0, 6.0), (5.0, 6.0))
