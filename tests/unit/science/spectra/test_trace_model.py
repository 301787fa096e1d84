"""Models of traces: the light of a star between pixels, where it is and where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stpipe.models import dqflags
from stpipe.science.spectra.replacement import by_trace_model
from stpipe.science.spectra.trace_model import Thresholds, TraceRules, trace_model
from stpipe.science.spectra.trace_splines import SplineRules

ROWS, COLUMNS = 24, 120
TILT = 0.03  # rows per column
RULES = TraceRules(SplineRules(), pad=1)


def place() -> Any:
    """Rows along the slit, from the middle of the star."""
    rows, columns = np.indices((ROWS, COLUMNS), dtype=np.float64)
    return rows - 12.4 - TILT * (columns - COLUMNS / 2)


def star(brightness: float = 200.0) -> Any:
    """A narrow star whose brightness changes along its spectrum."""
    along = 1 + 0.5 * np.sin(np.arange(COLUMNS) / 9)
    return (brightness * along * np.exp(-0.5 * (place() / 0.9) ** 2)).astype(np.float32)


def modelled(data: Any, regions: Any = None, rules: TraceRules = RULES, **limits: float) -> Any:
    thresholds = Thresholds(limits.get("fit", 10.0), limits.get("slope", 0.1))
    regions = np.ones((ROWS, COLUMNS), np.int32) if regions is None else regions
    return trace_model((data, np.ones_like(data)), place(), regions, rules, thresholds)


def test_the_light_of_a_star_is_known_where_pixels_are_missing() -> None:
    """To 2 %, also in its peak, which no neighbour has; far from the star there is no model."""
    rng = np.random.default_rng(4)
    data = star() + rng.normal(0, 0.5, (ROWS, COLUMNS)).astype(np.float32)
    missing = rng.random(data.shape) < 0.05
    found = modelled(np.where(missing, np.float32(np.nan), data))

    near = np.abs(place()) < 1.5
    assert missing[near].sum() > 10
    np.testing.assert_allclose(star()[near], found[near], rtol=0.02, atol=2.0)
    assert np.isnan(found[np.abs(place()) > 5]).all()


@pytest.mark.parametrize("backwards", [False, True])
def test_light_below_zero_and_either_order(backwards: bool) -> None:
    """What is added to all pixels is added to the model."""
    rules = TraceRules(SplineRules(), pad=1, backwards=backwards)
    found = modelled(star() - np.float32(50), rules=rules)

    near = np.abs(place()) < 1.5
    np.testing.assert_allclose(star()[near] - 50, found[near], atol=5.0)


def test_what_is_too_faint_has_no_model() -> None:
    """Nor has flat light; without thresholds all has one, but for the ends of the columns."""
    assert np.isnan(modelled(star(5.0))).all()
    flat = np.full((ROWS, COLUMNS), 100, np.float32)
    assert np.isnan(modelled(flat)).all()
    everywhere = modelled(flat, fit=0.0, slope=0.0)
    np.testing.assert_allclose(100, everywhere[1:-1], rtol=1e-3)
    assert np.isnan(everywhere[[0, -1]]).all()


def test_slices_are_modelled_by_what_stands_out_of_all() -> None:
    """The one with the star, not the other, which is as bright as its sky."""
    regions = np.ones((ROWS, COLUMNS), np.int32)
    regions[18:] = 2
    rng = np.random.default_rng(6)
    data = star() + rng.normal(20, 1, (ROWS, COLUMNS)).astype(np.float32)

    found = modelled(data, regions, TraceRules(SplineRules(), pad=2, of_all=True), slope=0.02)

    assert np.isfinite(found[:18]).any()
    assert np.isnan(found[18:]).all()


def test_pixels_become_the_model() -> None:
    """With errors of their neighbours along the dispersion; other pixels stay."""
    data = np.ones((5, 3), np.float32)
    data[2, 1] = data[3, 2] = np.nan
    err = np.arange(15, dtype=np.float32).reshape(5, 3)
    model = np.full((5, 3), np.nan, np.float32)
    model[2, 1] = 7
    dq = np.where(np.isnan(data), dqflags.DO_NOT_USE, 0).astype(np.uint32)

    values, flags = by_trace_model({"data": data, "err": err, "var_flat": err**2}, dq, model)

    assert (7, 7, 49) == tuple(values[n][2, 1] for n in ("data", "err", "var_flat"))
    assert dqflags.FLUX_ESTIMATED == flags[2, 1]
    assert np.isnan(values["data"][3, 2])
    assert dqflags.DO_NOT_USE == flags[3, 2]
    np.testing.assert_array_equal(err[:2], values["err"][:2])
