"""The plane of a cube on the sky."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from stpipe.science.cubes.tangent_plane import TangentPlane, extremes, offset, unwrapped


def test_a_place_and_back() -> None:
    """Also across 0 h, turned, and near the pole; west is up."""
    rng = np.random.default_rng(4)
    for ra, dec, angle in ((0.0002, 54.0, 0.0), (359.9999, -20.0, 33.0), (120.0, 89.99, -100.0)):
        plane = TangentPlane(ra, dec, angle)
        xi, eta = rng.uniform(-30, 30, (2, 50))
        again = plane.place(*plane.sky(xi, eta))
        np.testing.assert_allclose(again, (xi, eta), atol=1e-8)
    east = TangentPlane(10.0, 0.0).place(np.array([10 + 1 / 3600]), np.array([0.0]))
    assert east[0][0] == pytest.approx(-1)
    north = TangentPlane(10.0, 0.0, 90.0).place(np.array([10.0]), np.array([1 / 3600]))
    assert north[0][0] == pytest.approx(1)


def test_offsets_are_those_of_astropy() -> None:
    """Spherical offsets in the frame of each place."""
    ra, dec = np.array([0.001, 120.0, 359.9999]), np.array([54.0, -70.0, 89.0])
    moved = offset(ra, dec, (3.0, -2.0))
    expected = SkyCoord(ra, dec, unit="deg").spherical_offsets_by(
        3 * units.arcsec, -2 * units.arcsec
    )
    np.testing.assert_allclose(moved[0] % 360, expected.ra.deg, atol=1e-11)
    np.testing.assert_allclose(moved[1], expected.dec.deg, atol=1e-11)


def test_right_ascensions_across_zero() -> None:
    """They count on, and the extremes are the neighbours."""
    ra, dec = np.array([359.9, 0.1, 0.0, 0.05]), np.array([1.0, 2.0, -1.0, 3.0])
    np.testing.assert_allclose(unwrapped(ra), [359.9, 360.1, 360.0, 360.05])
    np.testing.assert_allclose(unwrapped(np.array([0.1, 359.9])), [360.1, 359.9])
    places = extremes(ra, dec)
    np.testing.assert_allclose(places[0], [359.9, 0.1, 0.0, 0.05], atol=1e-12)
    np.testing.assert_allclose(places[1], [1, 2, -1, 3])
