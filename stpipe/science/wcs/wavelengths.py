"""The wavelength of every pixel of a spectral exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from stpipe.models import CubeModel, ImageModel, SlitModel
    from stpipe.science.arrays import Floats

__all__ = ["Spectral", "wavelengths"]


Spectral: TypeAlias = "ImageModel | CubeModel | SlitModel"


def wavelengths(exposure: Spectral) -> Floats:
    """Wavelength of every pixel; NaN outside the spectrum.

    It is that of the array `wavelength`. Files may have an array of zeros, which is none: then the
    gwcs tells.

    Parameters
    ----------
    exposure : ImageModel, CubeModel or SlitModel

    Returns
    -------
    (rows, columns) float32 or float64, um
    """
    if exposure.has("wavelength") and np.any(exposure.wavelength):
        return exposure.wavelength
    rows, columns = np.indices(exposure.shape[-2:], dtype=np.float64)
    return np.asarray(exposure.meta.wcs(columns, rows)[2])
