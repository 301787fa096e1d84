"""Subtract the background of slitlets from all, by the spectrum of those that see no source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.steps.stage2.barshadow import BarShadowStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.flat_field.step import FlatFieldStep
from stpipe.steps.stage2.master_background.background_slits import BackgroundSlitsStep
from stpipe.steps.stage2.master_background.subtract import SubtractMasterBackgroundStep
from stpipe.steps.stage2.pathloss.step import PathLossStep
from stpipe.steps.stage2.photom.step import PhotomStep
from stpipe.steps.stage2.resample_spec import ResampleSpecStep

if TYPE_CHECKING:
    from stpipe.models import MultiSlitModel

__all__ = ["MasterBackgroundMosPipeline"]


class MasterBackgroundMosPipeline(Pipeline):
    """Subtract the background of slitlets from all, by the spectrum of those that see no source.

    A copy of all slitlets is calibrated as if light filled them. Those that see the background alone
    (SRCNAME has BKG or BACKGROUND in it) are rectified and extracted, and their spectra combined. That
    spectrum is taken back through the calibration of each pixel and subtracted from the count rates.
    Without such slitlets, or with a background subtracted before, nothing is.

    Steps have the suffixes and source types of `config/master_background_mos.cfg`; parameters such as
    `save_background` and `user_background` are those of the step `subtract`.
    """

    alias = "master_background_mos"
    step_defs = {
        "flat_field": FlatFieldStep,
        "pathloss": PathLossStep,
        "barshadow": BarShadowStep,
        "photom": PhotomStep,
        "background_slits": BackgroundSlitsStep,
        "resample_spec": ResampleSpecStep,
        "extract_1d": Extract1dStep,
        "subtract": SubtractMasterBackgroundStep,
    }

    def process(self, slits: MultiSlitModel) -> Any:
        """Calibrate, extract the background, and subtract it from the count rates."""
        calibrated = self.flat_field(slits)
        calibrated = self.pathloss(calibrated)
        calibrated = self.barshadow(calibrated)
        calibrated = self.photom(calibrated)
        if self.subtract.user_background is not None:
            return self.subtract(slits, calibrated)
        background = self.background_slits(calibrated)
        spectra = self.extract_1d(self.resample_spec(background))
        return self.subtract(slits, calibrated, spectra)
