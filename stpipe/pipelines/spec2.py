"""From count rates to calibrated spectra: coordinates, source type, response, flux, extraction."""

from __future__ import annotations

from typing import Any

from stpipe.pipeline import Pipeline
from stpipe.step import Products
from stpipe.steps.assign_wcs import AssignWcsStep
from stpipe.steps.bkg_subtract import BackgroundStep
from stpipe.steps.extract_1d import Extract1dStep
from stpipe.steps.flat_field import FlatFieldStep
from stpipe.steps.photom import PhotomStep
from stpipe.steps.srctype import SourceTypeStep

__all__ = ["Spec2Pipeline"]


class Spec2Pipeline(Pipeline):
    """From count rates to calibrated spectra: coordinates, source type, response, flux, extraction.

    The low-resolution spectra of MIRI, with a slit and without.
    """

    alias = "calwebb_spec2"
    step_defs = {
        "assign_wcs": AssignWcsStep,
        "srctype": SourceTypeStep,
        "bkg_subtract": BackgroundStep,
        "flat_field": FlatFieldStep,
        "photom": PhotomStep,
        "extract_1d": Extract1dStep,
    }

    def process(self, exposure: Any) -> Any:
        """Calibrate an exposure, or all its integrations; return (calibrated, spectra)."""
        exposure = self.assign_wcs(exposure)
        exposure = self.srctype(exposure)
        exposure = self.bkg_subtract(exposure)
        exposure = self.flat_field(exposure)
        calibrated = self.photom(exposure)
        return Products(("calibrated", "spectra"), (calibrated, self.extract_1d(calibrated)))
