"""Images beside the spectra: the weights of pixels, what was found in them, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.dispersion import turned
from stpipe.science.invalid_pixels import match_invalid, values_of
from stpipe.science.spectra.slits import Slits, has_many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import CubeModel, ImageModel, MultiSlitModel
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["as_model", "residual"]

IMAGE = 2  # dimensions


def residual(exposure: Spectral, scene: Doubles, direction: int) -> Floats:
    """The exposure less its scene ([integrations,] along, across); NaN where a pixel is not used."""
    values, _ = match_invalid(values_of(exposure), exposure.dq)
    return values["data"] - turned(scene, direction).astype(np.float32)


def as_model(
    exposure: Slits, images: Mapping[str, Floats]
) -> MultiSlitModel | ImageModel | CubeModel:
    """Images by the name of the slit as a model like the exposure: of many slits, or one spectrum."""
    from stpipe import models

    if has_many(exposure):
        many = models.MultiSlitModel()
        many.update(exposure)
        for name, image in images.items():
            many.slits.append({"name": name, "data": image})
        return many
    (image,) = images.values()
    model = models.ImageModel(image) if image.ndim == IMAGE else models.CubeModel(image)
    model.update(exposure)
    return model
