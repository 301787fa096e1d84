"""Which steps and pipelines there are, by alias, without importing them.

The tables are the one list of built-in names: the command line, the suffixes that a file name may
carry and the documentation derive from them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "OWN",
    "PIPELINES",
    "STEPS",
    "Entry",
    "built_in",
    "entries",
    "exported",
    "public_name",
    "summary",
]

OWN = "stpipe-flow"  # the package of the built-in steps

STEPS: dict[str, str] = {
    "group_scale": "stpipe.steps.stage1.group_scale:GroupScaleStep",
    "dq_init": "stpipe.steps.stage1.dq_init:DQInitStep",
    "emicorr": "stpipe.steps.stage1.emicorr:EmiCorrStep",
    "saturation": "stpipe.steps.stage1.saturation.step:SaturationStep",
    "ipc": "stpipe.steps.stage1.ipc.step:IPCStep",
    "superbias": "stpipe.steps.stage1.superbias:SuperBiasStep",
    "refpix": "stpipe.steps.stage1.refpix.step:RefPixStep",
    "firstframe": "stpipe.steps.stage1.firstframe:FirstFrameStep",
    "lastframe": "stpipe.steps.stage1.lastframe:LastFrameStep",
    "reset": "stpipe.steps.stage1.reset:ResetStep",
    "linearity": "stpipe.steps.stage1.linearity:LinearityStep",
    "rscd": "stpipe.steps.stage1.rscd:RscdStep",
    "dark_current": "stpipe.steps.stage1.dark_current:DarkCurrentStep",
    "charge_migration": "stpipe.steps.stage1.charge_migration:ChargeMigrationStep",
    "jump": "stpipe.steps.stage1.jump.step:JumpStep",
    "picture_frame": "stpipe.steps.stage1.picture_frame:PictureFrameStep",
    "clean_flicker_noise": "stpipe.steps.stage1.clean_flicker_noise.step:CleanFlickerNoiseStep",
    "persistence": "stpipe.steps.stage1.persistence:PersistenceStep",
    "ramp_fit": "stpipe.steps.stage1.ramp_fit:RampFitStep",
    "gain_scale": "stpipe.steps.stage1.gain_scale:GainScaleStep",
    "guider_cds": "stpipe.steps.stage1.guider_cds:GuiderCdsStep",
    "assign_wcs": "stpipe.steps.stage2.assign_wcs.step:AssignWcsStep",
    "badpix_selfcal": "stpipe.steps.stage2.badpix_selfcal:BadpixSelfcalStep",
    "msa_flagging": "stpipe.steps.stage2.msa_flagging:MSAFlagOpenStep",
    "imprint": "stpipe.steps.stage2.imprint:ImprintStep",
    "bkg_subtract": "stpipe.steps.stage2.bkg_subtract:BackgroundStep",
    "targ_centroid": "stpipe.steps.stage2.targ_centroid:TargCentroidStep",
    "straylight": "stpipe.steps.stage2.straylight:StraylightStep",
    "flat_field": "stpipe.steps.stage2.flat_field.step:FlatFieldStep",
    "fringe": "stpipe.steps.stage2.fringe:FringeStep",
    "pathloss": "stpipe.steps.stage2.pathloss.step:PathLossStep",
    "barshadow": "stpipe.steps.stage2.barshadow:BarShadowStep",
    "photom": "stpipe.steps.stage2.photom.step:PhotomStep",
    "residual_fringe": "stpipe.steps.stage2.residual_fringe:ResidualFringeStep",
    "srctype": "stpipe.steps.stage2.srctype:SourceTypeStep",
    "extract_2d": "stpipe.steps.stage2.extract_2d.step:Extract2dStep",
    "wavecorr": "stpipe.steps.stage2.wavecorr:WavecorrStep",
    "adaptive_trace_model": "stpipe.steps.stage2.adaptive_trace_model:AdaptiveTraceModelStep",
    "pixel_replace": "stpipe.steps.stage2.pixel_replace:PixelReplaceStep",
    "cube_build": "stpipe.steps.stage2.cube_build.step:CubeBuildStep",
    "extract_1d": "stpipe.steps.stage2.extract_1d.step:Extract1dStep",
    "assign_mtwcs": "stpipe.steps.stage3.assign_mtwcs:AssignMTWcsStep",
    "master_background": "stpipe.steps.stage3.master_background:MasterBackgroundStep",
    "tweakreg": "stpipe.steps.stage3.tweakreg.step:TweakRegStep",
    "skymatch": "stpipe.steps.stage3.skymatch:SkyMatchStep",
    "outlier_detection": "stpipe.steps.stage3.outlier_detection.step:OutlierDetectionStep",
    "resample": "stpipe.steps.stage2.resample:ResampleStep",
    "resample_spec": "stpipe.steps.stage2.resample_spec:ResampleSpecStep",
    "spectral_leak": "stpipe.steps.stage3.spectral_leak:SpectralLeakStep",
    "combine_1d": "stpipe.steps.stage3.combine_1d:Combine1dStep",
    "source_catalog": "stpipe.steps.stage3.source_catalog.step:SourceCatalogStep",
}

PIPELINES: dict[str, str] = {
    "calwebb_detector1": "stpipe.pipelines.detector1:Detector1Pipeline",
    "calwebb_dark": "stpipe.pipelines.dark:DarkPipeline",
    "calwebb_guider": "stpipe.pipelines.guider:GuiderPipeline",
    "calwebb_image2": "stpipe.pipelines.image2:Image2Pipeline",
    "calwebb_image3": "stpipe.pipelines.image3:Image3Pipeline",
    "master_background_mos": "stpipe.pipelines.master_background_mos:MasterBackgroundMosPipeline",
    "calwebb_spec2": "stpipe.pipelines.spec2:Spec2Pipeline",
    "calwebb_spec3": "stpipe.pipelines.spec3:Spec3Pipeline",
    "sloper": "stpipe.pipelines.sloper:SloperPipeline",
}

# Where the built-in classes are public: `stpipe.steps.JumpStep`, whichever module defines it.
_FACES = ("stpipe.steps.", "stpipe.pipelines.")


@dataclass(frozen=True)
class Entry:
    """A step or pipeline that can be run by its alias."""

    alias: str
    target: str
    kind: str  # step or pipeline
    package: str

    @property
    def summary(self) -> str:
        """What it does, in a line, read without importing it."""
        return _plugins().summary(self.target) if self.package != OWN else summary(self.alias)


def entries() -> Iterator[Entry]:
    """All pipelines and steps: the built-in ones, then those of other packages."""
    for kind, table in (("pipeline", PIPELINES), ("step", STEPS)):
        for alias, target in table.items():
            yield Entry(alias, target, kind, OWN)
    for plugin in _plugins().found():
        alias = plugin.alias
        # A name that is taken is reached through its package.
        taken = alias in STEPS or alias in PIPELINES
        name = f"{plugin.package}::{alias}" if taken else alias
        yield Entry(name, plugin.target, plugin.kind, plugin.package)


def _plugins() -> Any:
    from stpipe import plugins

    return plugins


def public_name(target: str) -> str:
    """The name under which products, parameter files and jobs know a class.

    A built-in class is known by its package and its own name, whatever module defines it and whatever
    STScI's `jwst` package calls its namesake: `stpipe.steps.JumpStep` for
    `stpipe.steps.stage1.jump.step:JumpStep` and `jwst.jump.JumpStep`. Any other class is known by its
    module.
    """
    own = built_in(target)
    return target if own is None else f"{'.'.join(own.split('.')[:2])}.{own.rpartition(':')[2]}"


def built_in(target: str) -> str | None:
    """The entry of a built-in class in the tables; None when `target` names no such class."""
    if not target.startswith(("jwst.", *_FACES)):
        return None
    name = re.split("[.:]", target)[-1]
    targets = (*STEPS.values(), *PIPELINES.values())
    return next((own for own in targets if own.endswith(f":{name}")), None)


def exported(table: Mapping[str, str], name: str, package: str) -> Any:
    """The class `name` of a table, imported when it is first used: for the `__getattr__` of a package.

    Raises
    ------
    AttributeError
        When the table has no such class.
    """
    for target in table.values():
        module, _, known = target.partition(":")
        if known == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {package!r} has no attribute {name!r}")


def summary(alias: str) -> str:
    """First line of the module that defines `alias`, read without importing it."""
    path = _plugins().source_file({**STEPS, **PIPELINES}[alias].partition(":")[0])
    # Not parsed, as a plugin's is: a listing reads all of them.
    with path.open(encoding="utf-8") as source:
        return str(source.readline()).strip().strip('"').strip()
