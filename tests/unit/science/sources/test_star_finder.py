"""Backgrounds below stars."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.science.sources.star_finder import between


def test_backgrounds_between_boxes() -> None:
    """Linear between the middles of boxes, constant beyond the outer ones; one box is constant."""
    found = between(np.array([[0.0, 10.0], [20.0, 30.0]]), (10, 10), (20, 20))
    assert 0 == found[0, 0] == found[4, 4]
    assert 30 == found[19, 19]
    assert pytest.approx(15) == found[9:11, 9:11].mean()
    np.testing.assert_allclose(found[:, 10] - found[:, 9], 1)
    assert (between(np.array([[7.0]]), (10, 10), (9, 8)) == 7).all()
