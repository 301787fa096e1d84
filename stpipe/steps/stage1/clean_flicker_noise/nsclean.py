"""Correlated noise of NIRSpec images, fitted in frequency space to pixels without light.

NSClean: Rauscher 2024, PASP 136, 015001; in pieces for subarrays. Images are in the frame of the
detector, where the fast axis runs along rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.science.arrays import Booleans, Doubles, Floats

    Complexes = npt.NDArray[np.complexfloating[Any, Any]]

__all__ = ["CUTOFFS", "CUTOFFS_ALLSLITS", "noise_of_frame", "noise_of_subarray"]

SIGMA = 1.4826  # standard deviations in a median absolute deviation
BORDER = 4  # reference pixels

# Full frames: frequencies per pixel of a row.
HALF_POWER = 1 / 256
ROLL_OFF = HALF_POWER / 4
FRAME_REJECTION = 3.0  # sigma
DENSITY_WIDTH = 32  # pixels over which the share of usable pixels is averaged
SMOOTHING = 1.5  # pixels along the slow axis

# Subarrays: Hz between which the filter is 1 from 0 on, falls, is 0, rises, is 1.
CUTOFFS = (1061.0, 1211.0, 49943.0, 49957.0)
CUTOFFS_ALLSLITS = (150.0, 200.0, 49943.0, 49957.0)
PIXEL_TIME = 1e-5  # seconds
NEW_LINE = 12  # pixels that could have been read while the next row is addressed
SUBARRAY_REJECTION = 4.0  # sigma
PIECE = 512  # usable pixels that a piece is fitted to
FEWEST = 0.05  # share of usable pixels in a piece that is fitted


def noise_of_frame(image: Floats, mask: Booleans) -> Doubles:
    """Noise (rows, columns) of a full frame, row by row, then smoothed along the slow axis.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the usable pixels of a row do not determine its noise.
    """
    rows, columns = image.shape
    gains = _low_pass(columns)
    waves = np.flatnonzero(gains)
    fitted: Booleans = np.logical_or.reduce(mask, axis=1)
    fitted[:BORDER] = fitted[rows - BORDER :] = False
    values = _without_outliers(image[fitted], mask[fitted])
    spectra = np.zeros((len(values), columns // 2 + 1), dtype=np.complex128)
    spectra[:, waves] = _fit_waves(values, _density_weights(mask)[fitted], waves)
    noise = np.zeros((rows, columns))
    noise[fitted] = np.fft.irfft(spectra * gains * columns, columns)
    return _smoothed(noise)


def _fit_waves(values: Doubles, weights: Doubles, waves: npt.NDArray[np.intp]) -> Complexes:
    """Factors (..., waves) of the waves whose sum comes closest to values (..., samples).

    The normal equations hold Fourier transforms of the weights, as waves are evenly spaced.
    """
    squares = weights**2
    between = (waves[:, None] - waves) % values.shape[-1]
    equations = np.fft.fft(squares)[..., between]
    right = np.fft.fft(squares * values)[..., waves]
    found: Complexes = np.linalg.solve(equations, right[..., None])[..., 0]
    return found


def _low_pass(columns: int) -> Doubles:
    frequency = np.fft.rfftfreq(columns)
    fall = (1 + np.cos(np.pi * (frequency - HALF_POWER) / ROLL_OFF + np.pi / 2)) / 2
    passed = np.where(frequency <= HALF_POWER - ROLL_OFF / 2, 1, fall)
    gains: Doubles = np.where(frequency <= HALF_POWER + ROLL_OFF / 2, passed, 0)
    return gains


def _density_weights(mask: Booleans) -> Doubles:
    """Reciprocal share of usable pixels around each one, of the row before; 0 where not usable.

    The reference implementation centres its kernel one pixel off in both directions.
    """
    columns = mask.shape[1]
    at = np.arange(columns) - (columns // 2 + 1)
    kernel = np.exp(-(at**2) / DENSITY_WIDTH**2 / 2) / DENSITY_WIDTH / np.sqrt(2 * np.pi)
    kernel = np.fft.rfft(np.fft.ifftshift(kernel))
    share = np.fft.irfft(np.fft.rfft(mask.astype(np.float64), axis=1) * kernel, columns, axis=1)
    with np.errstate(divide="ignore"):
        weights = np.where(mask, 1 / np.roll(share, 1, axis=0), 0)
    return np.where(np.isfinite(weights), weights, 0)


def _without_outliers(values: Floats, mask: Booleans) -> Doubles:
    """Values (rows, columns) with those far from the median of their row replaced by it; 0 outside."""
    known = np.where(mask, values, np.nan)
    middle = np.nanmedian(known, axis=1, keepdims=True)
    distance = np.abs(known - middle)
    reach = FRAME_REJECTION * SIGMA * np.nanmedian(distance, axis=1, keepdims=True)
    near = np.where(distance <= reach, known, middle)
    return np.where(mask, near, 0).astype(np.float64)


def _smoothed(noise: Doubles) -> Doubles:
    """Noise smoothed along the slow axis; see `_density_weights` for the shift by a pixel."""
    rows = noise.shape[0]
    at = np.arange(rows) - (rows // 2 + 1)
    kernel = np.exp(-((at / SMOOTHING) ** 2) / 2) / SMOOTHING / np.sqrt(2 * np.pi)
    kernel = np.fft.rfft(np.fft.ifftshift(kernel))[:, None]
    smooth = np.fft.irfft(np.fft.rfft(noise, axis=0) * kernel, rows, axis=0)
    return np.roll(smooth, 1, axis=1)


def noise_of_subarray(
    image: Floats, mask: Booleans, cutoffs: tuple[float, ...] = CUTOFFS
) -> Doubles | None:
    """Noise (rows, columns) of a subarray, from pieces that overlap by half; None without pixels.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the usable pixels of a piece do not determine its noise.
    """
    usable = mask & ~_outliers_and_neighbours(image, mask) if mask.any() else mask
    if not usable.any():
        return None
    total, weight = np.zeros(image.shape), np.zeros(image.shape)
    for start, end in _pieces(usable):
        piece = slice(start, end)
        fitted = _noise_of_piece(image[piece], usable[piece], cutoffs)
        share = 1.001 - np.abs(np.linspace(-1, 1, end - start))[:, None]
        total[piece] += share * fitted
        weight[piece] += share
    return total / np.where(total == 0, 1, weight)


def _outliers_and_neighbours(image: Floats, mask: Booleans) -> Booleans:
    middle = np.median(image[mask])
    reach = SUBARRAY_REJECTION * 1.4825 * np.median(np.abs((image - middle)[mask]))
    outliers = mask & (np.abs(image - middle) > reach)
    grown: Booleans = outliers.copy()
    grown[1:] |= outliers[:-1]
    grown[:-1] |= outliers[1:]
    grown[:, 1:] |= outliers[:, :-1]
    grown[:, :-1] |= outliers[:, 1:]
    return grown


def _pieces(mask: Booleans) -> list[tuple[int, int]]:
    """First rows and ends of pieces with enough usable pixels, each half a piece further."""
    count = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    rows = np.flatnonzero(mask.any(axis=1))
    start, last = int(rows[0]), int(rows[-1])
    pieces = []
    while start <= last:
        end = last + 1
        if count[-1] - count[start] > 1.5 * PIECE:
            enough = np.flatnonzero(count[start + 1 : last + 2] - count[start] > PIECE)
            end = start + 1 + int(enough[0]) if enough.size else end
        pieces.append((start, end))
        if end == last + 1:
            break
        start += max(round((end - start) / 2), 1)
    return pieces


def _noise_of_piece(image: Floats, mask: Booleans, cutoffs: tuple[float, ...]) -> Doubles:
    """Noise from waves that run through the rows in the order in which pixels are read."""
    rows, columns = image.shape
    if mask.mean() <= FEWEST:
        return np.zeros(image.shape)
    ticks = rows * (columns + NEW_LINE)
    gains = _band_pass(ticks, cutoffs)
    waves = np.flatnonzero(gains)
    read, values = (
        np.pad(array, ((0, 0), (0, NEW_LINE))).ravel() for array in (mask, np.where(mask, image, 0))
    )
    spectrum = np.zeros(len(gains), dtype=np.complex128)
    spectrum[waves] = _fit_waves(values, _weights_in_time(read, cutoffs), waves) * ticks
    noise = np.fft.irfft(spectrum * gains, ticks).reshape(rows, -1)
    return noise[:, :columns]


def _band_pass(ticks: int, cutoffs: tuple[float, ...]) -> Doubles:
    frequency = np.fft.rfftfreq(ticks, PIXEL_TIME).astype(np.float32)
    fall, low, rise, high = (np.float32(c) for c in cutoffs)
    falling = (np.cos(np.pi / (low - fall) * (frequency - fall)) + 1) / 2
    rising = (np.cos(np.pi / (high - rise) * (frequency - rise) + np.pi) + 1) / 2
    choices = [frequency < fall, frequency < low, frequency < rise, frequency < high]
    return np.select(choices, [np.ones_like(frequency), falling, 0 * falling, rising], 1.0)


def _weights_in_time(read: Booleans, cutoffs: tuple[float, ...]) -> Doubles:
    """Reciprocal share of usable pixels around the time of each."""
    size = len(read)
    width = np.float32(1 / ((cutoffs[0] + cutoffs[1]) / 2) / PIXEL_TIME / 2 / 4)
    at = np.arange(size, dtype=np.float32) - np.float32(size // 2 + 1)
    kernel = np.exp(-(at**2) / width**2 / 2) / width / np.sqrt(2 * np.pi)
    kernel = np.fft.rfft(np.fft.ifftshift(kernel))
    with np.errstate(divide="ignore"):
        weights = 1 / np.fft.irfft(np.fft.rfft(read.astype(np.float32)) * kernel, size)
    return np.where(read & np.isfinite(weights), weights, 0)
