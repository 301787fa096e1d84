"""Bring count rates taken with an unusual gain to the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from stpipe.core.step import Step
from stpipe.references.opened import metadata_of
from stpipe.science.ramps.integrations import RATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import CubeModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Floats

__all__ = ["GainScaleStep", "gain_factor", "scale_rates"]

POWERS = {"data": 1, "err": 1, "var_poisson": 2, "var_rnoise": 2}


class GainScaleStep(Step):
    """Bring count rates taken with an unusual gain to the usual one.

    Some NIRSpec subarrays are read with twice the usual gain. The factor is GAINFACT of the
    exposure, or else of its gain reference; without one the step is skipped. In a pipeline the
    scaled rates keep the name of the rates.
    """

    alias = "gain_scale"
    suffix = "gain_scale"
    status = "gain_scale"
    refines = True
    input_models = RATES
    optional_reference_types = ("gain",)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only some subarrays have a gain of their own."""
        if gain_factor(meta, selected) is None:
            return "neither the exposure nor its gain reference has GAINFACT"
        return ""

    def process(self, rate: ImageModel | CubeModel) -> ImageModel | CubeModel:
        """Scale rates, errors and variances."""
        factor = cast(
            "float", gain_factor(rate.to_flat_dict(), self.selected)
        )  # `not_needed` looked
        arrays = {name: getattr(rate, name) for name in POWERS if rate.has(name)}
        for name, scaled in scale_rates(arrays, factor).items():
            setattr(rate, name, scaled)
        rate.meta.exposure.gain_factor = factor
        return rate


def gain_factor(meta: FlatMetadata, selected: Mapping[str, Reference]) -> float | None:
    """GAINFACT of an exposure (flat metadata) or else of its gain reference; None without."""
    factor: float | None = meta.get("meta.exposure.gain_factor")
    path = selected["gain"].path
    if factor is None and path is not None:
        factor = metadata_of(path).get("meta.exposure.gain_factor")
    return factor


def scale_rates(arrays: Mapping[str, Floats], factor: float) -> dict[str, Floats]:
    """Rates and errors in DN/s times `factor`, variances times its square."""
    return {name: array * np.float32(factor ** POWERS[name]) for name, array in arrays.items()}
