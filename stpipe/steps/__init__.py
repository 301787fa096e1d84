"""The steps, by class: `from stpipe.steps import JumpStep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.registry import STEPS, exported

if TYPE_CHECKING:
    from stpipe.steps.assign_wcs import AssignWcsStep
    from stpipe.steps.bkg_subtract import BackgroundStep
    from stpipe.steps.charge_migration import ChargeMigrationStep
    from stpipe.steps.clean_flicker_noise import CleanFlickerNoiseStep
    from stpipe.steps.dark_current import DarkCurrentStep
    from stpipe.steps.dq_init import DQInitStep
    from stpipe.steps.emicorr import EmiCorrStep
    from stpipe.steps.extract_1d import Extract1dStep
    from stpipe.steps.extract_2d import Extract2dStep
    from stpipe.steps.firstframe import FirstFrameStep
    from stpipe.steps.flat_field import FlatFieldStep
    from stpipe.steps.gain_scale import GainScaleStep
    from stpipe.steps.group_scale import GroupScaleStep
    from stpipe.steps.guider_cds import GuiderCdsStep
    from stpipe.steps.ipc import IPCStep
    from stpipe.steps.jump import JumpStep
    from stpipe.steps.lastframe import LastFrameStep
    from stpipe.steps.linearity import LinearityStep
    from stpipe.steps.outlier_detection import OutlierDetectionStep
    from stpipe.steps.persistence import PersistenceStep
    from stpipe.steps.photom import PhotomStep
    from stpipe.steps.picture_frame import PictureFrameStep
    from stpipe.steps.ramp_fit import RampFitStep
    from stpipe.steps.refpix import RefPixStep
    from stpipe.steps.resample import ResampleStep
    from stpipe.steps.resample_spec import ResampleSpecStep
    from stpipe.steps.reset import ResetStep
    from stpipe.steps.rscd import RscdStep
    from stpipe.steps.saturation import SaturationStep
    from stpipe.steps.skymatch import SkyMatchStep
    from stpipe.steps.source_catalog import SourceCatalogStep
    from stpipe.steps.srctype import SourceTypeStep
    from stpipe.steps.superbias import SuperBiasStep
    from stpipe.steps.tweakreg import TweakRegStep

__all__ = [
    "AssignWcsStep",
    "BackgroundStep",
    "ChargeMigrationStep",
    "CleanFlickerNoiseStep",
    "DQInitStep",
    "DarkCurrentStep",
    "EmiCorrStep",
    "Extract1dStep",
    "Extract2dStep",
    "FirstFrameStep",
    "FlatFieldStep",
    "GainScaleStep",
    "GroupScaleStep",
    "GuiderCdsStep",
    "IPCStep",
    "JumpStep",
    "LastFrameStep",
    "LinearityStep",
    "OutlierDetectionStep",
    "PersistenceStep",
    "PhotomStep",
    "PictureFrameStep",
    "RampFitStep",
    "RefPixStep",
    "ResampleSpecStep",
    "ResampleStep",
    "ResetStep",
    "RscdStep",
    "SaturationStep",
    "SkyMatchStep",
    "SourceCatalogStep",
    "SourceTypeStep",
    "SuperBiasStep",
    "TweakRegStep",
]


def __getattr__(name: str) -> Any:
    return exported(STEPS, name, __name__)
