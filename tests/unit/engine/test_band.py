"""Bands: what a stored ramp holds, with samples that no step may count with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import Detector1Pipeline, models
from stpipe.models.dqflags import DO_NOT_USE


@pytest.mark.parametrize("algorithm", ["OLS_C", "LIKELY"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_count_nowhere(
    exposures: list[Path], crds: Path, value: float, algorithm: str
) -> None:
    """One sample of a ramp, all of a ramp; the ramps beside them are fitted as before."""
    del crds
    (nis,) = (path for path in exposures if "_nis_" in path.name)
    steps = {"ramp_fit": {"algorithm": algorithm}, "jump": {"skip": True}}
    with models.open(nis) as raw:
        ramp = models.RampModel(raw)
    good, _ = Detector1Pipeline.call(ramp, steps=steps)
    y, x = 30, 40
    data = ramp.data.copy()
    data[:, 3, y, x] = data[:, :, y, x + 1] = value
    ramp.data = data
    found, integrations = Detector1Pipeline.call(ramp, steps=steps)

    assert found.dq[y, x] == good.dq[y, x]
    assert found.data[y, x] == pytest.approx(good.data[y, x], abs=5 * float(good.err[y, x]))
    assert not np.isfinite(found.data[y, x + 1])
    assert found.dq[y, x + 1] & DO_NOT_USE
    assert (integrations.dq[:, y, x + 1] & DO_NOT_USE).all()
    others = np.ones(found.data.shape, dtype=bool)
    others[y, x : x + 2] = False
    np.testing.assert_array_equal(good.data[others], found.data[others])
