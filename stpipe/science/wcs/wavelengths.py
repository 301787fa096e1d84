"""The wavelength of every pixel of a spectral exposure."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["wavelengths"]


def wavelengths(exposure: Any) -> Any:
    """Wavelength in um of every pixel (rows, columns); NaN outside the spectrum.

    It is that of the array `wavelength`. Files may have an array of zeros, which is none: then the
    gwcs tells.
    """
    if exposure.has("wavelength") and np.any(exposure.wavelength):
        return exposure.wavelength
    rows, columns = np.indices(exposure.shape[-2:], dtype=np.float64)
    return np.asarray(exposure.meta.wcs(columns, rows)[2])
