"""From raw ramps to count rates: the detector stage of every instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.core.step import Products
from stpipe.steps.stage1.charge_migration import ChargeMigrationStep
from stpipe.steps.stage1.clean_flicker_noise.step import CleanFlickerNoiseStep
from stpipe.steps.stage1.dark_current import DarkCurrentStep
from stpipe.steps.stage1.dq_init import DQInitStep
from stpipe.steps.stage1.emicorr import EmiCorrStep
from stpipe.steps.stage1.firstframe import FirstFrameStep
from stpipe.steps.stage1.gain_scale import GainScaleStep
from stpipe.steps.stage1.group_scale import GroupScaleStep
from stpipe.steps.stage1.ipc.step import IPCStep
from stpipe.steps.stage1.jump.step import JumpStep
from stpipe.steps.stage1.lastframe import LastFrameStep
from stpipe.steps.stage1.linearity import LinearityStep
from stpipe.steps.stage1.persistence import PersistenceStep
from stpipe.steps.stage1.picture_frame import PictureFrameStep
from stpipe.steps.stage1.ramp_fit import RampFitStep
from stpipe.steps.stage1.refpix.step import RefPixStep
from stpipe.steps.stage1.reset import ResetStep
from stpipe.steps.stage1.rscd import RscdStep
from stpipe.steps.stage1.saturation.step import SaturationStep
from stpipe.steps.stage1.superbias import SuperBiasStep

if TYPE_CHECKING:
    from stpipe.models import RampModel

__all__ = ["Detector1Pipeline"]


class Detector1Pipeline(Pipeline):
    """From raw ramps to count rates: detector corrections, cosmic rays, ramp fit.

    Without the ramp fit the product is the corrected ramp, named after the last step that ran.
    """

    alias = "calwebb_detector1"
    spec = """
        save_calibrated_ramp = boolean(default=False)  # Save the corrected ramp as _ramp
    """

    step_defs = {
        "group_scale": GroupScaleStep,
        "dq_init": DQInitStep,
        "emicorr": EmiCorrStep,
        "saturation": SaturationStep,
        "ipc": IPCStep,
        "superbias": SuperBiasStep,
        "firstframe": FirstFrameStep,
        "lastframe": LastFrameStep,
        "reset": ResetStep,
        "refpix": RefPixStep,
        "linearity": LinearityStep,
        "rscd": RscdStep,
        "dark_current": DarkCurrentStep,
        "charge_migration": ChargeMigrationStep,
        "jump": JumpStep,
        "picture_frame": PictureFrameStep,
        "clean_flicker_noise": CleanFlickerNoiseStep,
        "persistence": PersistenceStep,
        "ramp_fit": RampFitStep,
        "gain_scale": GainScaleStep,
    }

    save_calibrated_ramp: bool

    def process(self, ramp: RampModel) -> Any:
        """Correct the ramp and fit slopes; return (rate, rateints)."""
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
            ramp = self.dark_current(ramp)
            ramp = self.refpix(ramp)
        else:
            ramp = self.superbias(ramp)
            ramp = self.refpix(ramp)
            ramp = self.linearity(ramp)
            ramp = self.dark_current(ramp)
        ramp = self.charge_migration(ramp)
        ramp = self.jump(ramp)
        ramp = self.picture_frame(ramp)
        ramp = self.clean_flicker_noise(ramp)
        ramp = self.persistence(ramp)
        if self.save_calibrated_ramp:
            self.save(ramp, "ramp")
        products = self.ramp_fit(ramp)
        if not isinstance(products, Products):
            return products  # the ramp, which is not to be fitted
        return Products(products.names, map(self.gain_scale, products))
