"""From count rates to calibrated spectra: coordinates, source type, response, flux, extraction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.core.products import model_name
from stpipe.core.step import Products
from stpipe.errors import InputError
from stpipe.science.exposure_types import LRS, SLIT, SLITLESS
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.bkg_subtract import BackgroundStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.extract_2d.step import Extract2dStep
from stpipe.steps.stage2.flat_field import FlatFieldStep
from stpipe.steps.stage2.photom.step import PhotomStep
from stpipe.steps.stage2.resample_spec import ResampleSpecStep
from stpipe.steps.stage2.srctype import SourceTypeStep

if TYPE_CHECKING:
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["Spec2Pipeline"]


class Spec2Pipeline(Pipeline):
    """From count rates to calibrated spectra: coordinates, source type, response, flux, extraction.

    The low-resolution spectra of MIRI, with a slit, which are rectified, and without; and slitless
    spectra of NIRISS, which need the catalogue of a direct image:
    `--steps.extract_2d.source_catalog=PATH`.
    """

    alias = "calwebb_spec2"
    step_defs = {
        "assign_wcs": AssignWcsStep,
        "srctype": SourceTypeStep,
        "bkg_subtract": BackgroundStep,
        "flat_field": FlatFieldStep,
        "extract_2d": Extract2dStep,
        "photom": PhotomStep,
        "resample_spec": ResampleSpecStep,
        "extract_1d": Extract1dStep,
    }

    def process(self, exposure: RateModel) -> Any:
        """Calibrate an exposure, or all its integrations; return (calibrated, rectified, spectra)."""
        kind = str(exposure.meta.exposure.type).upper()
        if kind not in LRS | SLITLESS:
            raise InputError(
                f"{self.name}: exposures of type {kind} are not supported, allowed: "
                f"{', '.join(sorted(LRS | SLITLESS))}."
            )
        exposure = self.assign_wcs(exposure)
        if kind in SLITLESS:
            return self._slitless(exposure)
        exposure = self.srctype(exposure)
        exposure = self.bkg_subtract(exposure)
        exposure = self.flat_field(exposure)
        calibrated = self.photom(exposure)
        has_slit = kind in SLIT and model_name(calibrated) == "ImageModel"
        rectified = self.resample_spec(calibrated) if has_slit else None
        spectra = self.extract_1d(calibrated if rectified is None else rectified)
        if self.resample_spec.skip:
            rectified = None  # it is the calibrated image
        return Products(("calibrated", "rectified", "spectra"), (calibrated, rectified, spectra))

    def _slitless(self, exposure: RateModel) -> Any:
        """Calibrate and extract the spectra of all sources; return (calibrated, rectified, spectra)."""
        exposure = self.flat_field(self.bkg_subtract(exposure))
        cutouts = self.srctype(self.extract_2d(exposure))
        calibrated = self.photom(cutouts)
        spectra = self.extract_1d(calibrated)
        return Products(("calibrated", "rectified", "spectra"), (calibrated, None, spectra))
