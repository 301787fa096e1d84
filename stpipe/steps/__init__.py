"""The steps, by class: `from stpipe.steps import JumpStep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.registry import STEPS, exported

if TYPE_CHECKING:
    from stpipe.steps.stage1.charge_migration import ChargeMigrationStep
    from stpipe.steps.stage1.clean_flicker_noise.step import CleanFlickerNoiseStep
    from stpipe.steps.stage1.dark_current import DarkCurrentStep
    from stpipe.steps.stage1.dq_init import DQInitStep
    from stpipe.steps.stage1.emicorr import EmiCorrStep
    from stpipe.steps.stage1.firstframe import FirstFrameStep
    from stpipe.steps.stage1.gain_scale import GainScaleStep
    from stpipe.steps.stage1.group_scale import GroupScaleStep
    from stpipe.steps.stage1.guider_cds import GuiderCdsStep
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
    from stpipe.steps.stage2.adaptive_trace_model import AdaptiveTraceModelStep
    from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
    from stpipe.steps.stage2.badpix_selfcal import BadpixSelfcalStep
    from stpipe.steps.stage2.barshadow import BarShadowStep
    from stpipe.steps.stage2.bkg_subtract import BackgroundStep
    from stpipe.steps.stage2.cube_build.step import CubeBuildStep
    from stpipe.steps.stage2.extract_1d.step import Extract1dStep
    from stpipe.steps.stage2.extract_2d.step import Extract2dStep
    from stpipe.steps.stage2.flat_field.step import FlatFieldStep
    from stpipe.steps.stage2.fringe import FringeStep
    from stpipe.steps.stage2.imprint import ImprintStep
    from stpipe.steps.stage2.msa_flagging import MSAFlagOpenStep
    from stpipe.steps.stage2.pathloss.step import PathLossStep
    from stpipe.steps.stage2.photom.step import PhotomStep
    from stpipe.steps.stage2.pixel_replace import PixelReplaceStep
    from stpipe.steps.stage2.resample import ResampleStep
    from stpipe.steps.stage2.resample_spec import ResampleSpecStep
    from stpipe.steps.stage2.residual_fringe import ResidualFringeStep
    from stpipe.steps.stage2.srctype import SourceTypeStep
    from stpipe.steps.stage2.straylight import StraylightStep
    from stpipe.steps.stage2.targ_centroid import TargCentroidStep
    from stpipe.steps.stage2.wavecorr import WavecorrStep
    from stpipe.steps.stage3.assign_mtwcs import AssignMTWcsStep
    from stpipe.steps.stage3.combine_1d import Combine1dStep
    from stpipe.steps.stage3.master_background import MasterBackgroundStep
    from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep
    from stpipe.steps.stage3.skymatch import SkyMatchStep
    from stpipe.steps.stage3.source_catalog.step import SourceCatalogStep
    from stpipe.steps.stage3.spectral_leak import SpectralLeakStep
    from stpipe.steps.stage3.tweakreg.step import TweakRegStep

__all__ = [
    "AdaptiveTraceModelStep",
    "AssignMTWcsStep",
    "AssignWcsStep",
    "BackgroundStep",
    "BadpixSelfcalStep",
    "BarShadowStep",
    "ChargeMigrationStep",
    "CleanFlickerNoiseStep",
    "Combine1dStep",
    "CubeBuildStep",
    "DQInitStep",
    "DarkCurrentStep",
    "EmiCorrStep",
    "Extract1dStep",
    "Extract2dStep",
    "FirstFrameStep",
    "FlatFieldStep",
    "FringeStep",
    "GainScaleStep",
    "GroupScaleStep",
    "GuiderCdsStep",
    "IPCStep",
    "ImprintStep",
    "JumpStep",
    "LastFrameStep",
    "LinearityStep",
    "MSAFlagOpenStep",
    "MasterBackgroundStep",
    "OutlierDetectionStep",
    "PathLossStep",
    "PersistenceStep",
    "PhotomStep",
    "PictureFrameStep",
    "PixelReplaceStep",
    "RampFitStep",
    "RefPixStep",
    "ResampleSpecStep",
    "ResampleStep",
    "ResetStep",
    "ResidualFringeStep",
    "RscdStep",
    "SaturationStep",
    "SkyMatchStep",
    "SourceCatalogStep",
    "SourceTypeStep",
    "SpectralLeakStep",
    "StraylightStep",
    "SuperBiasStep",
    "TargCentroidStep",
    "TweakRegStep",
    "WavecorrStep",
]


def __getattr__(name: str) -> Any:
    return exported(STEPS, name, __name__)
