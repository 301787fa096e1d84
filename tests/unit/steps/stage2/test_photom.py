"""Fluxes, and exposures that the reference does not list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.science.flux import time_correction
from stpipe.steps.stage2.photom.step import PhotomStep


def test_photom_without_an_entry_says_so(rate: Path) -> None:
    """SKIPPED, with what was looked for; data stay."""
    with models.open(rate) as image:
        image.meta.instrument.filter = "F090W"
        product = PhotomStep().run(image)
        assert "SKIPPED" == product.meta.cal_step.photom
        assert "filter F090W" in product.provenance[-1]["reason"]
        np.testing.assert_array_equal(image.data, product.data)


def test_sensitivity_falls_as_the_laws_say() -> None:
    """Several laws multiply; without laws nothing is corrected."""
    meta = {"meta.exposure.mid_time": 60_365.0}
    linear = np.array([(60_000.0, 0.1)], [("t0", "f8"), ("lossperyear", "f8")])[0]
    columns = [(n, "f8") for n in ("t0", "amplitude", "tau", "const")]
    exponential = np.array([(60_000.0, 0.5, 365.0, 0.4)], columns)[0]

    assert 1.0 == time_correction({}, meta)
    assert pytest.approx(0.9) == time_correction({"linear": linear}, meta)
    both = time_correction({"linear": linear, "exponential": exponential}, meta)
    assert pytest.approx(0.9 * (0.5 / np.e + 0.4)) == both
