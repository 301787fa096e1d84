"""What is known by wavelength, on the pixels of a spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["on_pixels", "smoothed"]


def on_pixels(wavelength: Floats | Doubles, known: Doubles, values: Doubles | Floats) -> Floats:
    """Values at the wavelength of every pixel, linear between those that are known.

    Parameters
    ----------
    wavelength : (rows, columns), um
        NaN outside the spectrum.
    known : (n,) float64, um
        Ascending.
    values : (n,)
        At those wavelengths.

    Returns
    -------
    (rows, columns) float32
        NaN where a pixel has no wavelength, or one beyond those that are known.
    """
    found = np.interp(wavelength, known, values, left=np.nan, right=np.nan)
    return found.astype(np.float32)


def smoothed(values: Doubles, size: int) -> Doubles:
    """A running median; at the ends of a spectrum over as many samples as there are.

    Parameters
    ----------
    values : (samples,)
    size : int
        Samples; one less when it is even.

    Returns
    -------
    (samples,) float64
    """
    half = (size - 1) // 2
    padded = np.pad(values.astype(np.float64), half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    found: Doubles = np.nanmedian(windows, axis=1)
    return found
