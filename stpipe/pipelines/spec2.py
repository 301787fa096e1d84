"""From count rates to calibrated spectra: coordinates, source type, response, flux, extraction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.core.products import Parts, model_name
from stpipe.core.step import Products
from stpipe.errors import InputError
from stpipe.pipelines.master_background_mos import MasterBackgroundMosPipeline
from stpipe.science.exposure_types import (
    LRS,
    MRS,
    NARROW_SLITS,
    NIRSPEC_SLITS,
    SLICES,
    SLIT,
    SLITLESS,
)
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
from stpipe.steps.stage2.resample_spec import ResampleSpecStep
from stpipe.steps.stage2.residual_fringe import ResidualFringeStep
from stpipe.steps.stage2.srctype import SourceTypeStep
from stpipe.steps.stage2.straylight import StraylightStep
from stpipe.steps.stage2.targ_centroid import TargCentroidStep
from stpipe.steps.stage2.wavecorr import WavecorrStep

if TYPE_CHECKING:
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["Spec2Pipeline"]

THROUGH_SHUTTERS = {"NRS_IFU", "NRS_MSASPEC"}
CUBE = "IFUCubeModel"
SUPPORTED = LRS | SLITLESS | NARROW_SLITS | SLICES


class Spec2Pipeline(Pipeline):
    """From count rates to calibrated spectra: coordinates, source type, response, flux, extraction.

    Slits and shutters of NIRSpec and the slit of MIRI's prism, whose spectra are rectified before they
    are extracted; their integrations; the prism without slit; the slices of NIRSpec and MIRI, of which
    a cube is made, of MIRI for each channel; and slitless spectra of NIRISS, which need the catalogue
    of a direct image: `--steps.extract_2d.source_catalog=PATH`.
    """

    alias = "calwebb_spec2"
    step_defs = {
        "assign_wcs": AssignWcsStep,
        "badpix_selfcal": BadpixSelfcalStep,
        "msa_flagging": MSAFlagOpenStep,
        "imprint": ImprintStep,
        "bkg_subtract": BackgroundStep,
        "extract_2d": Extract2dStep,
        "srctype": SourceTypeStep,
        "targ_centroid": TargCentroidStep,
        "master_background_mos": MasterBackgroundMosPipeline,
        "wavecorr": WavecorrStep,
        "straylight": StraylightStep,
        "flat_field": FlatFieldStep,
        "fringe": FringeStep,
        "pathloss": PathLossStep,
        "barshadow": BarShadowStep,
        "photom": PhotomStep,
        "residual_fringe": ResidualFringeStep,
        "adaptive_trace_model": AdaptiveTraceModelStep,
        "pixel_replace": PixelReplaceStep,
        "resample_spec": ResampleSpecStep,
        "cube_build": CubeBuildStep,
        "extract_1d": Extract1dStep,
    }

    def process(self, exposure: RateModel) -> Any:
        """Calibrate an exposure, or all its integrations; return (calibrated, rectified, spectra)."""
        kind = str(exposure.meta.exposure.type).upper()
        if kind not in SUPPORTED:
            raise InputError(
                f"{self.name}: exposures of type {kind} are not supported, allowed: "
                f"{', '.join(sorted(SUPPORTED))}."
            )
        exposure = self.assign_wcs(exposure)
        if kind in SLICES:
            exposure = self.badpix_selfcal(exposure)
        if kind in THROUGH_SHUTTERS:
            exposure = self.imprint(self.msa_flagging(exposure))
        if kind in SLITLESS:
            return self._slitless(exposure)
        if kind in NARROW_SLITS:
            return self._slits(exposure, kind)
        return self._one_spectrum(exposure, kind)

    def _one_spectrum(self, exposure: RateModel, kind: str) -> Any:
        """Calibrate the spectrum of MIRI's prism, or the slices of NIRSpec or MIRI."""
        exposure = self.srctype(exposure)
        if kind in LRS:
            exposure = self.targ_centroid(exposure)
        exposure = self.bkg_subtract(exposure)
        if kind == MRS:
            exposure = self.fringe(self.flat_field(self.straylight(exposure)))
        else:
            exposure = self.pathloss(self.flat_field(exposure))
        calibrated = self.photom(exposure)
        if kind == MRS:
            calibrated = self.residual_fringe(calibrated)
        if kind in SLICES:
            return self._cubes(calibrated)
        has_slit = kind in SLIT and model_name(calibrated) == "ImageModel"
        return self._extract(calibrated, rectify=has_slit)

    def _cubes(self, calibrated: Any) -> Any:
        """Build a cube for each band, and extract its spectrum."""
        names = ("calibrated", "rectified", "spectra")
        if self.cube_build.skip:
            return Products(names, (calibrated, None, None))
        cubes = self.cube_build(self.pixel_replace(self.adaptive_trace_model(calibrated)))
        if model_name(cubes) != CUBE:
            return Products(names, (calibrated, None, None))
        spectra = Parts(cubes.labels, [self.extract_1d(cube) for cube in cubes])
        return Products(names, (calibrated, cubes, spectra))

    def _slits(self, exposure: RateModel, kind: str) -> Any:
        """Calibrate the spectra of NIRSpec's slits and shutters, one by one in one file."""
        slits = self.extract_2d(self.bkg_subtract(exposure))
        slits = self.srctype(slits)
        if kind == "NRS_MSASPEC":
            slits = self.master_background_mos(slits)
        slits = self.wavecorr(slits)
        slits = self.flat_field(slits)
        slits = self.pathloss(slits)
        slits = self.barshadow(slits)
        calibrated = self.photom(slits)
        modelled = self.adaptive_trace_model(calibrated) if kind in NIRSPEC_SLITS else calibrated
        return self._extract(calibrated, rectify=kind in NIRSPEC_SLITS, modelled=modelled)

    def _extract(self, calibrated: Any, *, rectify: bool, modelled: Any = None) -> Any:
        complete = self.pixel_replace(calibrated if modelled is None else modelled)
        rectified = self.resample_spec(complete) if rectify else None
        spectra = self.extract_1d(complete if rectified is None else rectified)
        if self.resample_spec.skip:
            rectified = None  # it is the calibrated image
        return Products(("calibrated", "rectified", "spectra"), (calibrated, rectified, spectra))

    def _slitless(self, exposure: RateModel) -> Any:
        """Calibrate and extract the spectra of all sources; return (calibrated, rectified, spectra)."""
        exposure = self.flat_field(self.bkg_subtract(exposure))
        cutouts = self.srctype(self.extract_2d(exposure))
        return self._extract(self.photom(cutouts), rectify=False)
