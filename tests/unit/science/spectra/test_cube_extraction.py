"""Circles in planes, and values between points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.science.spectra._circles import fractions
from stpipe.science.spectra.cube_extraction import Circles, blocks, linear

PLACES = st.floats(-2, 14)
RADII = st.floats(0.05, 9)


@given(PLACES, PLACES, RADII)
@settings(max_examples=60, deadline=None)
def test_areas_of_pixels_in_a_circle(x: float, y: float, radius: float) -> None:
    """Exact areas are those of many points; points are counted as the definition says."""
    shape = (1, 12, 13)
    exact, counted, fine = (np.empty(shape) for _ in range(3))
    for subpixels, out in ((0, exact), (5, counted), (60, fine)):
        fractions(x, y, np.array([radius]), subpixels, out)
    points = (np.arange(5) + 0.5) / 5 - 0.5
    rows, columns = (np.arange(size)[:, None] + points for size in shape[1:])
    inside = (columns[None, :, None, :] - x) ** 2 + (rows[:, None, :, None] - y) ** 2 < radius**2
    np.testing.assert_allclose(inside.mean(axis=(2, 3)), counted[0], atol=2 / 25)
    np.testing.assert_allclose(fine, exact, atol=0.02)
    assert (exact >= -1e-12).all()
    assert (exact <= 1 + 1e-12).all()


@given(RADII)
@settings(max_examples=30, deadline=None)
def test_a_circle_within_the_plane_has_its_area(radius: float) -> None:
    """To rounding."""
    out = np.empty((1, 24, 24))
    fractions(11.3, 11.8, np.array([radius]), 0, out)
    assert out.sum() == pytest.approx(np.pi * radius**2, rel=1e-10)


def test_circles_without_a_radius_are_empty() -> None:
    """Also negative and unknown ones."""
    out = np.empty((3, 5, 5))
    fractions(2.0, 2.0, np.array([0.0, -1.0, np.nan]), 10, out)
    assert not out.any()


def test_rings_are_where_they_have_an_extent() -> None:
    """Elsewhere they are empty; parts of the planes have parts of the circles."""
    radius, inner, outer = np.ones(4), np.array([2.0, 0, 3, -1]), np.array([3.0, 3, 3, 2])
    circles = Circles((6.0, 6.0), radius, inner, outer, 0)
    ring = circles.ring((4, 13, 13))
    assert [True, False, False, False] == circles.has_ring.tolist()
    np.testing.assert_allclose([np.pi * 5, 0, 0, 0], ring.sum(axis=(1, 2)), rtol=1e-10)
    np.testing.assert_array_equal(ring[1:3], circles.within(slice(1, 3)).ring((2, 13, 13)))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_between_points(asked: list[float]) -> None:
    """As numpy has it within the points, in any order; beyond, lines go on."""
    at = np.array([7.0, 1.0, 4.0])
    values = np.array([2.0, 5.0, -1.0])
    found = linear(np.array(asked), at, values)
    inside = (np.array(asked) >= 1) & (np.array(asked) <= 7)
    expected = np.interp(asked, np.sort(at), values[np.argsort(at)])
    np.testing.assert_allclose(expected[inside], found[inside], atol=1e-12)
    assert 7 == pytest.approx(linear(np.array([0.0]), at, values)[0])
    assert 3 == pytest.approx(linear(np.array([8.0]), at, values)[0])
    places = np.stack([np.zeros(len(asked)), np.full(len(asked), 2.0)])
    own = linear(np.array(asked), places, np.array([[0.0], [4.0]]))
    np.testing.assert_allclose(2 * np.array(asked), own, atol=1e-12)
    assert [3.0] == linear(np.array([9.0]), np.array([5.0]), np.array([3.0])).tolist()


def test_blocks_cover_all_planes() -> None:
    """Each once, whatever their size."""
    for most in (1, 10, 35, 10_000):
        spans = list(blocks(17, 10, most))
        assert list(range(17)) == [n for s in spans for n in range(17)[s]]
