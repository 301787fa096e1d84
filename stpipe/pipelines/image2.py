"""From count rates to calibrated images: coordinates, response, flux."""

from __future__ import annotations

from typing import Any

from stpipe.pipeline import Pipeline
from stpipe.steps.assign_wcs import AssignWcsStep
from stpipe.steps.bkg_subtract import BackgroundStep
from stpipe.steps.flat_field import FlatFieldStep
from stpipe.steps.photom import PhotomStep

__all__ = ["Image2Pipeline"]


class Image2Pipeline(Pipeline):
    """From count rates to calibrated images: coordinates, response, flux."""

    alias = "calwebb_image2"
    step_defs = {
        "bkg_subtract": BackgroundStep,
        "assign_wcs": AssignWcsStep,
        "flat_field": FlatFieldStep,
        "photom": PhotomStep,
    }

    def process(self, image: Any) -> Any:
        """Calibrate an image, or the images of all integrations."""
        image = self.bkg_subtract(image)
        image = self.assign_wcs(image)
        image = self.flat_field(image)
        return self.photom(image)
