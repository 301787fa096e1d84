"""Where a pixel sits on the detector: readout columns and rows, amplifiers, reference pixels.

Images are in the science frame; amplifiers and their odd and even columns belong to the detector
frame. `FASTAXIS` and `SLOWAXIS` say which science axis, and in which direction, the fast and the
slow readout run along.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import FULL, Detector, Subarray

__all__ = [
    "AMPLIFIER_WIDTH",
    "BORDER",
    "amplifiers",
    "detector_columns",
    "detector_rows",
    "is_lit",
    "is_reference",
    "science_positions",
]

BORDER: Final = 4
"""Reference pixels lie in the outer four rows and columns (MIRI: columns only)."""

AMPLIFIER_WIDTH: Final = 512

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def science_positions(subarray: Subarray) -> tuple[Index, Index]:
    """0-based full-frame rows (ny, 1) and columns (1, nx) of the pixels of a subarray."""
    rows = np.arange(subarray.ysize, dtype=np.intp)[:, np.newaxis] + subarray.ystart - 1
    columns = np.arange(subarray.xsize, dtype=np.intp)[np.newaxis, :] + subarray.xstart - 1
    return rows, columns


def detector_columns(detector: Detector, subarray: Subarray) -> Index:
    """0-based full-frame column in the detector frame of every pixel, shape (ny, nx)."""
    return _along(detector.fastaxis, detector, subarray)


def detector_rows(detector: Detector, subarray: Subarray) -> Index:
    """0-based full-frame row in the detector frame of every pixel, shape (ny, nx)."""
    return _along(detector.slowaxis, detector, subarray)


def amplifiers(detector: Detector, subarray: Subarray) -> Index:
    """Number of the amplifier that reads each pixel, from 0, shape (ny, nx)."""
    columns = detector_columns(detector, subarray)
    if subarray.noutputs == 1:
        return np.zeros_like(columns)
    if detector.is_miri:
        return columns % BORDER
    return columns // AMPLIFIER_WIDTH


def is_reference(detector: Detector, subarray: Subarray) -> Mask:
    """True for pixels that are not sensitive to light, shape (ny, nx)."""
    rows, columns = science_positions(subarray)
    frame = detector.frame
    side = (columns < BORDER) | (columns >= frame.xsize - BORDER)
    if detector.is_miri:
        return np.broadcast_to(side, subarray.shape)
    return side | (rows < BORDER) | (rows >= frame.ysize - BORDER)


def is_lit(detector: Detector, subarray: Subarray) -> Mask:
    """True for pixels that the telescope's light reaches, shape (ny, nx).

    The spectra in NIRSpec's small subarrays leave the first and last four columns dark; the
    reference-pixel step uses those in place of reference pixels.
    """
    lit = ~is_reference(detector, subarray)
    if detector.instrument == "NIRSPEC" and subarray.name != FULL:
        lit[:, :BORDER] = False
        lit[:, -BORDER:] = False
    return lit


def _along(axis: int, detector: Detector, subarray: Subarray) -> Index:
    """Position along a science axis (1: x, 2: y), counted from the end if the axis is negative."""
    rows, columns = science_positions(subarray)
    position, size = (
        (columns, detector.frame.xsize) if abs(axis) == 1 else (rows, detector.frame.ysize)
    )
    return np.broadcast_to(position if axis > 0 else size - 1 - position, subarray.shape)
