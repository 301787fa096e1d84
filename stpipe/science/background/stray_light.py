"""Light in MIRI's medium-resolution spectrometer that is where it should not be.

The detector scatters light along its rows, which makes crosses of bright spots: a broad wing, and two
pairs of peaks beside each (the cross-artefact; Argyriou et al. 2023). Showers of particles leave light
between the slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has

if TYPE_CHECKING:
    from stpipe.models.protocols import Table
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = [
    "CHANNELS",
    "DARK",
    "HALVES",
    "light_above",
    "profile",
    "scattered",
    "showers",
    "without_references",
]

# Between the channels, where nothing but the dark is seen.
DARK = {
    "MIRIFULONG": (slice(50, 974), slice(474, 507)),
    "MIRIFUSHORT": (slice(50, 974), slice(503, 516)),
}
HALVES = (slice(0, 516), slice(516, 1024))  # columns of the channels
CHANNELS = {"MIRIFUSHORT": "12", "MIRIFULONG": "43"}  # in the left and the right half
REFERENCES = 4  # columns at either end that see no light
SIGNIFICANT = 3.0  # spreads of the dark above which light counts
FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gauss curve, in sigma
UNUSABLE = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE | dqflags.DEAD | dqflags.HOT


def light_above(data: Floats, dq: Bits, dark: tuple[slice, slice]) -> Floats:
    """The light that is scattered: above the level between the channels, and its noise.

    Parameters
    ----------
    data : (rows, columns) float32, DN/s
        Values that are not finite are 0.
    dq : (rows, columns) uint32
    dark : (slice, slice)
        Rows and columns between the channels.

    Returns
    -------
    (rows, columns) float32, DN/s
        0 where there is none, or the pixel cannot be used.
    """
    from astropy.stats import sigma_clipped_stats

    level, _, spread = sigma_clipped_stats(data[dark])
    counts = (data >= level + SIGNIFICANT * spread) & (data > level) & ~has(dq, UNUSABLE)
    return np.where(counts, data - np.float32(level), np.float32(0))


def profile(table: Table, columns: int) -> Doubles:
    """How much of the light of a pixel is scattered, by distance.

    Parameters
    ----------
    table : (rows) structured array
        Of the MRSXARTCORR reference, for a channel and band: for each row full width (pixels) and
        height of a Lorentz curve, and full width and place (pixels) and heights of the Gauss curves.
        Those of the second pair are twice as wide and as far.
    columns : int
        Pixels in a row.

    Returns
    -------
    (rows, columns) float64
        Share of the light that reaches a pixel at a distance of 0, 1, ... columns to either side.
    """
    distance = np.arange(columns, dtype=np.float64)
    row = {
        name.lower(): table[name][:, None].astype(np.float64) for name in table.dtype.names or ()
    }
    width, sigma, place = row["lor_fwhm"] / 2, row["gau_fwhm"] / FWHM, row["gau_xoff"]
    found: Doubles = row["lor_scale"] * width**2 / (width**2 + distance**2)
    for order, height in ((1, row["gau_scale1"]), (2, row["gau_scale2"])):
        for peak in (-place, place):
            found += height * np.exp(-0.5 * ((distance - order * peak) / (order * sigma)) ** 2)
    return found


def scattered(light: Floats, share: Doubles) -> Doubles:
    """Light along the rows, each pixel's spread by its profile.

    Parameters
    ----------
    light : (rows, columns) float32
    share : (rows, columns) float64
        By `profile`; the same to both sides.

    Returns
    -------
    (rows, columns) float64, in the unit of the light
    """
    from scipy import fft

    rows, columns = light.shape
    size = fft.next_fast_len(2 * columns - 1, real=True)  # so that no light comes in at the far end
    kernel = np.zeros((rows, size))
    kernel[:, :columns] = share
    kernel[:, 1 - columns :] = share[:, :0:-1]
    spectrum = fft.rfft(light, size) * fft.rfft(kernel).real
    found: Doubles = fft.irfft(spectrum, size)[:, :columns]
    return found


def without_references(image: Floats) -> Floats:
    """An image with 0 in the columns of reference pixels.

    Parameters
    ----------
    image : (rows, columns) float32

    Returns
    -------
    (rows, columns) float32
    """
    inner = np.zeros_like(image)
    inner[:, REFERENCES:-REFERENCES] = image[:, REFERENCES:-REFERENCES]
    return inner


def showers(
    data: Floats, between: Booleans, width: tuple[float, float], shares: tuple[float, float]
) -> Floats:
    """A smooth image of what is seen between slices.

    Parameters
    ----------
    data : (rows, columns) float32
    between : (rows, columns) bool
        Pixels between slices that can be used.
    width : (float, float)
        Sigma in columns and in rows of the Gauss curve that smooths, pixels.
    shares : (float, float)
        Percentiles below and above which values are left out.

    Returns
    -------
    (rows, columns) float32, in the unit of the data
    """
    from astropy.convolution import Gaussian2DKernel, convolve_fft

    known = np.where(between, data, np.float32(np.nan))
    low, high = np.nanpercentile(known, shares)
    known[(known < low) | (known > high)] = np.nan
    kernel = Gaussian2DKernel(x_stddev=width[0], y_stddev=width[1])
    return np.asarray(convolve_fft(known, kernel), dtype=np.float32)
