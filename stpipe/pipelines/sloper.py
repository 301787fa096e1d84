"""Fit slopes to ramps with the steps of the original demonstration pipeline."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.core.step import product_name
from stpipe.steps.stage1.dq_init import DQInitStep
from stpipe.steps.stage1.ipc.step import IPCStep
from stpipe.steps.stage1.jump.step import JumpStep
from stpipe.steps.stage1.lastframe import LastFrameStep
from stpipe.steps.stage1.ramp_fit import RampFitStep
from stpipe.steps.stage1.reset import ResetStep
from stpipe.steps.stage1.superbias import SuperBiasStep

if TYPE_CHECKING:
    from stpipe.models import RampModel

__all__ = ["SloperPipeline"]

log = logging.getLogger("stpipe.sloper")


class SloperPipeline(Pipeline):
    """Fit slopes to ramps: bias or reset correction, cosmic rays, ramp fit.

    Bushouse, Droettboom & Greenfield 2015, section "Steps and Pipelines". It neither linearizes nor
    subtracts the dark current: use calwebb_detector1 for science.
    """

    alias = "sloper"
    spec = """
        save_cal = boolean(default=False)  # Save the corrected ramp as _cal, before slopes are fitted
    """

    step_defs = {
        "dq": DQInitStep,
        "ipc": IPCStep,
        "bias": SuperBiasStep,
        "reset": ResetStep,
        "frame": LastFrameStep,
        "jump": JumpStep,
        "ramp_fit": RampFitStep,
    }

    save_cal: bool

    def process(self, input: RampModel) -> Any:
        """Correct the ramp and fit slopes."""
        log.info("Starting calwebb_sloper ...")

        input = self.dq(input)
        input = self.ipc(input)

        # Superbias does not apply to MIRI.
        if input.meta.instrument.name != "MIRI":
            input = self.bias(input)

        # Reset and last frame apply to MIRI only.
        if input.meta.instrument.name == "MIRI":
            input = self.reset(input)
            input = self.frame(input)

        input = self.jump(input)

        if self.save_cal:
            input.save(product_name(self, "cal"))

        input = self.ramp_fit(input)

        log.info("... ending calwebb_sloper")
        return input
