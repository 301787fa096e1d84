"""From raw ramps to count rates: the detector stage of every instrument."""

from __future__ import annotations

from typing import Any

from stpipe.pipeline import Pipeline
from stpipe.steps.dark_current import DarkCurrentStep
from stpipe.steps.dq_init import DQInitStep
from stpipe.steps.ipc import IPCStep
from stpipe.steps.jump import JumpStep
from stpipe.steps.lastframe import LastFrameStep
from stpipe.steps.linearity import LinearityStep
from stpipe.steps.ramp_fit import RampFitStep
from stpipe.steps.refpix import RefPixStep
from stpipe.steps.reset import ResetStep
from stpipe.steps.saturation import SaturationStep
from stpipe.steps.superbias import SuperBiasStep

__all__ = ["Detector1Pipeline"]


class Detector1Pipeline(Pipeline):
    """From raw ramps to count rates: detector corrections, cosmic rays, ramp fit."""

    alias = "calwebb_detector1"
    spec = """
        save_calibrated_ramp = boolean(default=False)  # Save the corrected ramp as _ramp
    """

    step_defs = {
        "dq_init": DQInitStep,
        "saturation": SaturationStep,
        "ipc": IPCStep,
        "superbias": SuperBiasStep,
        "lastframe": LastFrameStep,
        "reset": ResetStep,
        "refpix": RefPixStep,
        "linearity": LinearityStep,
        "dark_current": DarkCurrentStep,
        "jump": JumpStep,
        "ramp_fit": RampFitStep,
    }

    save_calibrated_ramp: bool

    def process(self, ramp: Any) -> Any:
        """Correct the ramp and fit slopes; return (rate, rateints)."""
        ramp = self.dq_init(ramp)
        ramp = self.saturation(ramp)
        ramp = self.ipc(ramp)
        if ramp.meta.instrument.name == "MIRI":
            ramp = self.lastframe(ramp)
            ramp = self.reset(ramp)
            ramp = self.linearity(ramp)
            ramp = self.dark_current(ramp)
            ramp = self.refpix(ramp)
        else:
            ramp = self.superbias(ramp)
            ramp = self.refpix(ramp)
            ramp = self.linearity(ramp)
            ramp = self.dark_current(ramp)
        ramp = self.jump(ramp)
        if self.save_calibrated_ramp:
            self.save(ramp, "ramp")
        return self.ramp_fit(ramp)
