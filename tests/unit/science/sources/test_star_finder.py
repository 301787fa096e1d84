"""Backgrounds below stars."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.science.sources.star_finder import StarFinder, between


def test_backgrounds_between_boxes() -> None:
    """Linear between the middles of boxes, constant beyond the outer ones; one box is constant."""
    found = between(np.array([[0.0, 10.0], [20.0, 30.0]]), (10, 10), (20, 20))
    assert 0 == found[0, 0] == found[4, 4]
    assert 30 == found[19, 19]
    assert pytest.approx(15) == found[9:11, 9:11].mean()
    np.testing.assert_allclose(found[:, 10] - found[:, 9], 1)
    assert (between(np.array([[7.0]]), (10, 10), (9, 8)) == 7).all()


@pytest.mark.parametrize("share", [0.0, 0.001])
def test_an_image_without_good_pixels_has_no_stars(share: float) -> None:
    """All of them NaN, or flagged but for a few in which no background can be measured."""
    rng = np.random.default_rng(1)
    data = np.where(rng.random((64, 64)) < share, np.float32(1), np.float32(np.nan))
    finder = StarFinder(5.0, 2.5, 32, 100, None, 0.2, 1.0, -1.0, 1.0)

    assert (0, 2) == finder.find(data.astype(np.float32), np.zeros((64, 64), np.uint32)).shape
