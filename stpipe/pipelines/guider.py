"""From raw data of the guider to calibrated count rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.steps.stage1.dq_init import DQInitStep
from stpipe.steps.stage1.guider_cds import GuiderCdsStep
from stpipe.steps.stage2.flat_field.step import FlatFieldStep

if TYPE_CHECKING:
    from stpipe.models import GuiderRawModel

__all__ = ["GuiderFlatFieldStep", "GuiderPipeline"]


class GuiderFlatFieldStep(FlatFieldStep):
    """Divide by the response of the pixels, last of all: the product is calibrated."""

    suffix = "cal"


class GuiderPipeline(Pipeline):
    """From raw data of the guider to calibrated count rates.

    For star identification, acquisition, tracking and fine guiding. The product is `_cal`, or named
    after the last step that ran.
    """

    alias = "calwebb_guider"
    step_defs = {
        "dq_init": DQInitStep,
        "guider_cds": GuiderCdsStep,
        "flat_field": GuiderFlatFieldStep,
    }

    def process(self, raw: GuiderRawModel) -> Any:
        """Flag bad pixels, take differences, divide by the flat."""
        raw = self.dq_init(raw)
        rates = self.guider_cds(raw)
        return self.flat_field(rates)
