"""Bring count rates taken with an unusual gain to the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import Skip
from stpipe.step import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.steps._arrays import Floats

__all__ = ["GainScaleStep", "scale_rates"]

POWERS = {"data": 1, "err": 1, "var_poisson": 2, "var_rnoise": 2}


class GainScaleStep(Step):
    """Bring count rates taken with an unusual gain to the usual one.

    Some NIRSpec subarrays are read with twice the usual gain. The factor is GAINFACT, which
    `ramp_fit` copies from the gain reference; without it the step is skipped.
    """

    alias = "gain_scale"
    suffix = "gain_scale"
    status = "gain_scale"
    input_models = ("ImageModel", "CubeModel")
    optional_reference_types = ("gain",)

    def process(self, rate: Any) -> Any:
        """Scale rates, errors and variances."""
        factor = rate.meta.exposure.gain_factor
        if factor is None and "gain" in self.references:
            factor = self.references["gain"].meta.exposure.gain_factor
        if factor is None:
            raise Skip("neither the exposure nor its gain reference has GAINFACT")
        arrays = {name: getattr(rate, name) for name in POWERS if rate.has(name)}
        for name, scaled in scale_rates(arrays, factor).items():
            setattr(rate, name, scaled)
        rate.meta.exposure.gain_factor = factor
        return rate


def scale_rates(arrays: Mapping[str, Floats], factor: float) -> dict[str, Floats]:
    """Rates and errors in DN/s times `factor`, variances times its square."""
    return {name: array * np.float32(factor ** POWERS[name]) for name, array in arrays.items()}
