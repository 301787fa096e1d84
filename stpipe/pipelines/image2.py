"""From count rates to calibrated images: coordinates, response, flux."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import Pipeline
from stpipe.core.products import model_name
from stpipe.core.step import Products
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.bkg_subtract import BackgroundStep
from stpipe.steps.stage2.flat_field.step import FlatFieldStep
from stpipe.steps.stage2.photom.step import PhotomStep
from stpipe.steps.stage2.resample import ResampleStep

if TYPE_CHECKING:
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["Image2Pipeline"]

IMAGES = frozenset({"MIR_IMAGE", "NRC_IMAGE", "NIS_IMAGE", "FGS_IMAGE"})


class Image2Pipeline(Pipeline):
    """From count rates to calibrated images: coordinates, response, flux.

    Of an image there is a version without distortion, `_i2d`, to look at. An association of stage 2
    may be given, each of whose products has an exposure and its backgrounds.
    """

    alias = "calwebb_image2"
    step_defs = {
        "bkg_subtract": BackgroundStep,
        "assign_wcs": AssignWcsStep,
        "flat_field": FlatFieldStep,
        "photom": PhotomStep,
        "resample": ResampleStep,
    }

    def process(self, image: RateModel) -> Any:
        """Calibrate an image, or the images of all integrations; return (image, mosaic or None)."""
        image = self.bkg_subtract(image)
        image = self.assign_wcs(image)
        image = self.flat_field(image)
        image = self.photom(image)
        pictured = model_name(image) == "ImageModel" and image.meta.exposure.type in IMAGES
        mosaic = self.resample(image) if pictured and not self.resample.skip else None
        return Products(("image", "mosaic"), (image, mosaic))
