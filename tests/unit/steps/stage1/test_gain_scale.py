"""Rates of subarrays with a gain of their own."""

from __future__ import annotations

import numpy as np

from stpipe import models
from stpipe.science.ramps.integrations import RATES
from stpipe.steps.stage1 import gain_scale
from stpipe.steps.stage1.clean_flicker_noise.step import CleanFlickerNoiseStep
from stpipe.steps.stage1.gain_scale import GainScaleStep
from stpipe.steps.stage1.picture_frame import PictureFrameStep


def test_variances_scale_with_the_square() -> None:
    """Rates and errors take the factor, variances its square."""
    ones = {n: np.ones(1, np.float32) for n in ("data", "err", "var_poisson", "var_rnoise")}
    scaled = gain_scale.scale_rates(ones, 3.0)
    assert {"data": 3, "err": 3, "var_poisson": 9, "var_rnoise": 9} == {
        name: array.item() for name, array in scaled.items()
    }


def test_rates_of_an_integral_field_stay_what_they_are() -> None:
    """Steps that change rates take the models that the fit makes, and do not turn them into others."""
    rate = models.IFUImageModel()
    rate.data = np.ones((3, 4), np.float32)
    rate.meta.exposure.gain_factor = 2.0
    found = GainScaleStep(override_gain="N/A").run(rate)

    assert "IFUImageModel" == type(found).__name__
    assert (found.data == 2).all()
    for step in (GainScaleStep, CleanFlickerNoiseStep, PictureFrameStep):
        assert set(RATES) <= set(step.input_models)
