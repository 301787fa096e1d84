"""What falls on a cube, against sums that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stpipe.models import dqflags
from stpipe.science.cubes import _kernels
from stpipe.science.cubes.finishing import finished, flags_of, thin_planes
from stpipe.science.cubes.surfaces import Interval, Surface, nodes

OUTSIDE = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE


def cube(shape: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    """Axes of spaxels of 0.5 and planes of 0.1 from 0, depths, and empty sums."""
    axes = tuple(np.arange(n) * step for n, step in zip(shape[::-1], (0.5, 0.5, 0.1), strict=True))
    sums = (*(np.zeros(shape) for _ in range(3)), np.zeros(shape, np.float32))
    return axes, np.full(shape[0], 0.1), sums


def test_drizzled_light_is_conserved() -> None:
    """The weights of a pixel within the cube add up to its area times its depth."""
    axes, dz, sums = cube((9, 20, 22))
    rng = np.random.default_rng(6)
    turn = rng.uniform(0, np.pi, 40)
    centre = rng.uniform(2, 7, (40, 2))
    corner = np.array([[-0.4, -0.3], [-0.4, 0.3], [0.4, 0.3], [0.4, -0.3]])
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x = corner[:, 0] * cos - corner[:, 1] * sin + centre[:, :1]
    y = corner[:, 0] * sin + corner[:, 1] * cos + centre[:, 1:]
    wave, depth = rng.uniform(0.2, 0.6, 40), rng.uniform(0.02, 0.25, 40)
    flux, error = rng.uniform(1, 2, 40), rng.uniform(0.1, 0.2, 40)
    corners = np.ascontiguousarray(np.stack([x, y], axis=-1))
    _kernels.drizzle(axes, dz, (0.5, 0.5), corners, (wave, depth, flux, error), sums)

    assert sums[1].sum() == pytest.approx((0.48 * depth).sum(), rel=1e-12)
    assert sums[0].sum() == pytest.approx((0.48 * depth * flux).sum(), rel=1e-12)
    assert (sums[3] > 0).sum() == (sums[1] > 0).sum()


def test_a_pixel_that_lies_in_one_spaxel() -> None:
    """It counts there alone, with the overlap of its depth, and its error is its own."""
    axes, dz, sums = cube((4, 5, 5))
    square = np.array([[[0.9, 0.9], [0.9, 1.1], [1.1, 1.1], [1.1, 0.9]]])
    values = tuple(np.array([each]) for each in (0.16, 0.06, 7.0, 0.5))
    _kernels.drizzle(axes, dz, (0.5, 0.5), square, values, sums)
    weight = np.zeros((4, 5, 5))
    weight[1, 2, 2], weight[2, 2, 2] = 0.04 * 0.02, 0.04 * 0.04
    np.testing.assert_allclose(sums[1], weight, atol=1e-15)
    made = finished(_sums(sums), thin=False)
    assert made.data[1, 2, 2] == pytest.approx(7)
    assert made.err[2, 2, 2] == pytest.approx(0.5)
    assert made.dq[1, 2, 2] == 0
    assert made.dq[0, 2, 2] == OUTSIDE
    assert np.isnan(made.data[0]).all()


def test_pixels_beside_the_cube_do_not_count() -> None:
    """On any side of it, and at wavelengths beyond it."""
    axes, dz, sums = cube((4, 5, 5))
    square = np.array([[-0.1, -0.1], [-0.1, 0.1], [0.1, 0.1], [0.1, -0.1]])
    places = np.array([[-9.0, 1], [9, 1], [1, -9], [1, 9], [1, 1], [1, 1]])
    corners = np.ascontiguousarray(places[:, None] + square)
    wave = np.array([0.1, 0.1, 0.1, 0.1, -5, 5])
    one = np.ones(6)
    _kernels.drizzle(axes, dz, (0.5, 0.5), corners, (wave, 0.05 * one, one, one), sums)
    rules = (0.4 * one, 0.05 * one, one)
    values = (*places.T.copy(), wave, one, one)
    _kernels.gather(axes, dz, (0.5, 0.5), values, rules, sums)
    assert not sums[3].any()


@pytest.mark.parametrize("shape", [("scale",), ("power", "softest")])
def test_weights_by_distance(shape: tuple[str, ...]) -> None:
    """Those of the formulas, by hand, within the radius and the depth, limits included."""
    axes, dz, sums = cube((5, 7, 7))
    given = {"scale": 0.3, "power": 2.5, "softest": 0.01}
    pixel = tuple(np.array([each]) for each in (1.5, 1.6, 0.21, 3.0, 0.2))
    rules = tuple(np.array([each]) for each in (0.7, 0.12, *(given[name] for name in shape)))
    _kernels.gather(axes, dz, (0.5, 0.5), pixel, rules, sums)

    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    near = (np.hypot(x - 1.5, y - 1.6) <= 0.7) & (np.abs(z - 0.21) <= 0.12)
    d = ((x - 1.5) / 0.5) ** 2 + ((y - 1.6) / 0.5) ** 2 + ((z - 0.21) / 0.1) ** 2
    own = np.exp(-d / (0.3 / 0.5)) if "scale" in shape else 1 / np.maximum(d**1.25, 0.01)
    np.testing.assert_array_equal(near, sums[3] > 0)
    np.testing.assert_allclose(sums[1], np.where(near, own, 0), rtol=1e-12)
    np.testing.assert_allclose(sums[2], np.where(near, (0.2 * own) ** 2, 0), rtol=1e-12)


def test_holes_are_not_what_is_outside() -> None:
    """A hole has neighbours in the field on all sides; at the border of the cube it is outside."""
    covered = np.zeros((6, 6), bool)
    covered[:5, :5] = True
    known = covered.copy()
    known[2, 2] = known[0, 2] = known[4, 4] = False
    flags = flags_of(known, covered)
    assert flags[2, 2] == dqflags.DO_NOT_USE
    assert flags[0, 2] == flags[4, 4] == flags[5, 5] == OUTSIDE
    assert (flags[known] == 0).all()


def test_torn_planes_are_given_up() -> None:
    """Fewer than three quarters of what nearly all planes have; empty ones are not counted."""
    good = np.array([0, 10, 100, *[100] * 40, 101, 80])
    assert np.flatnonzero(thin_planes(good)).tolist() == [1]
    assert not thin_planes(np.zeros(4, int)).any()
    *_, sums = cube((40, 3, 3))
    sums[3][...] = sums[1][...] = 1
    sums[3][0, 1:] = sums[1][0, 1:] = 0
    made = finished(_sums(sums), thin=True)
    assert made.thin == 1
    assert not made.weightmap[0].any()
    assert (made.dq[0] == OUTSIDE).all()
    assert finished(_sums(sums), thin=False).thin == 0


def test_a_slice_covers_a_twentieth_of_a_spaxel() -> None:
    """Spaxels that it reaches by less are not in the field."""
    axes, _, _ = cube((3, 6, 6))
    covered = np.zeros((3, 6, 6), np.uint8)
    box = np.array([[[0.77, 0.4], [0.77, 1.6], [1.73, 1.6], [1.73, 0.4]]])
    _kernels.cover(axes[:2], (0.5, 0.5), np.array([1]), box, covered)
    expected = np.zeros((3, 6, 6), np.uint8)
    expected[1, 1:4, 2:4] = 1
    np.testing.assert_array_equal(covered, expected)


def test_the_extent_of_a_slice_in_each_plane() -> None:
    """The least and largest ends of the pixels there; planes without pixels know nothing."""
    z, dz = np.arange(4) * 0.1, np.full(4, 0.1)
    low, high = np.full((2, 4), np.nan)
    pixels = [np.array(each) for each in ([1.0, -2, 5], [2.0, -1, 6], [0.1, 0.12, 0.3])]
    _kernels.extent(z, dz, (*pixels, np.full(3, 0.02)), (low, high))
    np.testing.assert_array_equal(low, [np.nan, -2, np.nan, 5])
    np.testing.assert_array_equal(high, [np.nan, 2, np.nan, 6])


def test_surfaces_are_as_good_as_what_they_are_made_of() -> None:
    """Through nodes, and by least squares through samples anywhere."""
    limits = (Interval(3.0, 9.0), Interval(-2.0, 1.0))

    def known(u: Any, v: Any) -> Any:
        return np.sin(u / 4) * np.exp(v / 5) + 2

    rng = np.random.default_rng(9)
    u, v = rng.uniform(3, 9, 900), rng.uniform(-2, 1, 900)
    on_nodes = Surface.on_nodes(known(*nodes(limits, (16, 12))), limits)
    np.testing.assert_allclose(on_nodes(u, v), known(u, v), rtol=1e-12)
    fitted = Surface.through((u, v, known(u, v)), limits, 12)
    np.testing.assert_allclose(fitted(u, v), known(u, v), rtol=1e-7)
    assert Surface.on_nodes(np.full((5, 4), 2.0), limits).coefficients.shape == (1, 1)


def _sums(sums: Any) -> Any:
    names = ("flux", "weight", "variance", "count")
    return SimpleNamespace(**dict(zip(names, sums, strict=True)), covered=None)
