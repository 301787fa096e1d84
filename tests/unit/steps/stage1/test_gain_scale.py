"""Rates of subarrays with a gain of their own."""

from __future__ import annotations

import numpy as np

from stpipe.steps.stage1 import gain_scale


def test_variances_scale_with_the_square() -> None:
    """Rates and errors take the factor, variances its square."""
    ones = {n: np.ones(1, np.float32) for n in ("data", "err", "var_poisson", "var_rnoise")}
    scaled = gain_scale.scale_rates(ones, 3.0)
    assert {"data": 3, "err": 3, "var_poisson": 9, "var_rnoise": 9} == {
        name: array.item() for name, array in scaled.items()
    }
