"""Statistics of arrays, read in pieces."""

from __future__ import annotations

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest

from stpipe.models import describe


@hypothesis.given(
    arrays.arrays(
        st.sampled_from([np.dtype("f4"), np.dtype("f8"), np.dtype("u2")]),
        arrays.array_shapes(max_dims=3),
        elements=None,
    )
)
def test_statistics_are_those_of_numpy(array: np.ndarray) -> None:
    """Read in pieces, the numbers are what numpy makes of the finite values."""
    wide = array.astype(np.float64)
    hypothesis.assume(np.all(np.abs(wide[np.isfinite(wide)]) < 1e100))
    found = describe.statistics(array)
    values = wide[np.isfinite(wide)]
    assert array.size - values.size == found["not_finite"]
    if values.size:
        assert (values.min(), values.max()) == (found["min"], found["max"])
        scale = max(float(np.abs(values).max()), 1e-300)
        assert abs(values.mean() - found["mean"]) <= 1e-6 * scale
        assert abs(values.std() - found["std"]) <= 1e-6 * scale


def test_statistics_of_small_spreads() -> None:
    """Times and levels far from zero keep their spread, over several pieces."""
    times = 60_000 + np.linspace(0, 1e-4, 1_000_000)
    assert describe.statistics(times)["std"] == pytest.approx(times.std(), rel=1e-6)
