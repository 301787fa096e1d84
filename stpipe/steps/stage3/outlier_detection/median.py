"""The median of exposures on a common grid, which wait on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Floats
    from stpipe.science.mosaics.drizzle import Window

__all__ = ["Layer", "median_of", "stored", "weight_threshold"]

BAND_BYTES = 4_000_000  # of exposures on the grid of the mosaic whose median is taken at a time


@dataclass(frozen=True)
class Layer:
    """An exposure on the common grid, on disk: NaN where its weight is low."""

    path: Path
    window: Window

    def read(self, band: slice) -> Iterator[tuple[slice, slice, Floats]]:
        """Its part of a band of rows: rows of the band, columns, values; nothing outside."""
        rows = self.window.rows
        first, last = max(band.start, rows.start), min(band.stop, rows.stop)
        if first < last:
            width = self.window.shape[1]
            values = np.fromfile(
                self.path,
                np.float32,
                count=(last - first) * width,
                offset=(first - rows.start) * width * 4,
            )
            here = slice(first - band.start, last - band.start)
            yield here, self.window.columns, values.reshape(-1, width)


def stored(data: Floats, wht: Floats, window: Window, maskpt: float, path: Path) -> Layer:
    """An exposure (rows, columns of a window) on disk, without pixels of low weight."""
    values = np.where(wht < weight_threshold(wht, maskpt), np.float32(np.nan), data)
    values.astype(np.float32).tofile(path)
    return Layer(path, window)


def weight_threshold(wht: Floats, maskpt: float) -> float:
    """`maskpt` of the mean weight, without outliers and pixels that have none."""
    from astropy.stats import sigma_clip

    known = wht[np.isfinite(wht) & (wht != 0)]
    if not known.size:
        return 0.0
    clipped = sigma_clip(known, sigma=3, maxiters=5, masked=False, copy=False)
    return float(np.mean(clipped, dtype=np.float64) * maskpt)


def median_of(layers: Sequence[Layer], shape: tuple[int, int]) -> Floats:
    """Median (rows, columns) of layers, without NaN; a band of rows of all of them in memory.

    The more layers there are, the fewer rows a band has.
    """
    median = np.full(shape, np.nan, dtype=np.float32)
    height = max(BAND_BYTES // (4 * len(layers) * shape[1]), 1)
    for start in range(0, shape[0], height):
        band = slice(start, min(start + height, shape[0]))
        stack = np.full((len(layers), band.stop - start, shape[1]), np.nan, dtype=np.float32)
        for layer, plane in zip(layers, stack, strict=True):
            for rows, columns, values in layer.read(band):
                plane[rows, columns] = values
        median[band] = _nanmedian(stack)
    return median


def _nanmedian(stack: Floats) -> Floats:
    """Median along the first axis without NaN."""
    stack.sort(axis=0)  # NaN come last
    count = np.isfinite(stack).sum(axis=0)
    middle = np.array([np.maximum(count - 1, 0) // 2, count // 2])
    low, high = np.take_along_axis(stack, np.minimum(middle, len(stack) - 1), axis=0)
    return np.asarray((low + high) / 2, dtype=np.float32)
