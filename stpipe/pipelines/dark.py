"""From raw dark ramps to corrected ones, from which reference darks are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.steps.stage1.dq_init import DQInitStep
from stpipe.steps.stage1.emicorr import EmiCorrStep
from stpipe.steps.stage1.firstframe import FirstFrameStep
from stpipe.steps.stage1.group_scale import GroupScaleStep
from stpipe.steps.stage1.ipc.step import IPCStep
from stpipe.steps.stage1.lastframe import LastFrameStep
from stpipe.steps.stage1.linearity import LinearityStep
from stpipe.steps.stage1.refpix.step import RefPixStep
from stpipe.steps.stage1.reset import ResetStep
from stpipe.steps.stage1.rscd import RscdStep
from stpipe.steps.stage1.saturation.step import SaturationStep
from stpipe.steps.stage1.superbias import SuperBiasStep

if TYPE_CHECKING:
    from stpipe.models import RampModel

__all__ = ["DarkPipeline"]


class DarkPipeline(Pipeline):
    """From raw dark ramps to corrected ones: detector corrections up to linearity.

    The product is a ramp, from which nothing dark has been subtracted. MIRI's reference pixels are
    left alone, as they are subtracted after the dark. The product is named after the last step that
    ran: `_linearity` in the near infrared, `_rscd` for MIRI.
    """

    alias = "calwebb_dark"
    step_defs = {
        "group_scale": GroupScaleStep,
        "dq_init": DQInitStep,
        "emicorr": EmiCorrStep,
        "saturation": SaturationStep,
        "ipc": IPCStep,
        "superbias": SuperBiasStep,
        "refpix": RefPixStep,
        "reset": ResetStep,
        "rscd": RscdStep,
        "firstframe": FirstFrameStep,
        "lastframe": LastFrameStep,
        "linearity": LinearityStep,
    }

    def process(self, ramp: RampModel) -> Any:
        """Correct the ramp."""
        ramp = self.group_scale(ramp)
        ramp = self.dq_init(ramp)
        if ramp.meta.instrument.name == "MIRI":
            ramp = self.emicorr(ramp)
        ramp = self.saturation(ramp)
        ramp = self.ipc(ramp)
        if ramp.meta.instrument.name == "MIRI":
            ramp = self.firstframe(ramp)
            ramp = self.lastframe(ramp)
            ramp = self.reset(ramp)
            ramp = self.linearity(ramp)
            ramp = self.rscd(ramp)
        else:
            ramp = self.superbias(ramp)
            ramp = self.refpix(ramp)
            ramp = self.linearity(ramp)
        return ramp
