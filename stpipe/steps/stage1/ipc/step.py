"""Correct for the coupling of neighbouring pixels, by convolution with the inverse kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.science.arrays import rows_of
from stpipe.science.ramps.irs2_frames import SIZE, Interleaving, is_interleaved
from stpipe.steps.stage1.ipc import _kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.engine.band import Band
    from stpipe.engine.rectangle import Rectangle
    from stpipe.models.protocols import Meta, Ramp
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Floats

__all__ = ["IPCStep", "ReferenceBorder", "deconvolve"]

BORDER = 4
NIR_END = 2044  # first row and column of the reference pixels at the far sides
MIRI_END = 1028


class IPCStep(RampStep):
    """Correct for the coupling of neighbouring pixels, by convolution with the inverse kernel.

    The reference holds one kernel for the detector, (rows, columns), or one for each pixel, with
    two more axes. Reference pixels are left alone and do not contribute. Flags do not matter.
    Of IRS2 readouts the science pixels are corrected, as they lie side by side.
    """

    alias = "ipc"
    suffix = "ipc"
    status = "ipc"
    reference_types = ("ipc",)
    prerequisites = ("meta.subarray.xstart", "meta.subarray.ystart")
    halo = 1  # of a kernel of 3 x 3
    flags = 0

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Convolve every group with the kernel."""
        if is_interleaved(ramp.data.shape):
            self._correct_interleaved(ramp, references["ipc"].data)
            return
        border = ReferenceBorder.of(ramp.meta, ramp.frame).within(ramp.place, ramp.frame)
        ramp.data = deconvolve(ramp.data, references["ipc"].data, border)

    def reach(self, references: Mapping[str, CutReference]) -> int:
        """Half of the kernel."""
        return int(max(references["ipc"].shape[:2])) // 2

    def takes_whole(self, shape: tuple[int, ...]) -> bool:
        """IRS2 readouts, whose neighbours are not neighbours in the file."""
        return is_interleaved(shape)

    def _correct_interleaved(self, ramp: Ramp, kernel: Floats) -> None:
        rows = Interleaving.of(ramp.meta).science_rows
        border = ReferenceBorder.of(ramp.meta, (SIZE, SIZE))
        data = ramp.data.copy()
        for group in np.ndindex(data.shape[:2]):
            science = data[group][rows][None, None]
            data[group][rows] = deconvolve(science, kernel, border)[0, 0]
        ramp.data = data


@dataclass(frozen=True)
class ReferenceBorder:
    """Rows and columns of reference pixels at each side of an exposure."""

    bottom: int
    top: int
    left: int
    right: int

    @classmethod
    def of(cls, meta: Meta, shape: tuple[int, int]) -> ReferenceBorder:
        """Those of an exposure of `shape`; MIRI has columns only."""
        x0, y0 = meta.subarray.xstart - 1, meta.subarray.ystart - 1
        rows, columns = shape
        left = max(0, BORDER - x0)
        if meta.instrument.name == "MIRI":
            return cls(0, 0, left, max(0, x0 + columns - MIRI_END))
        top, right = max(0, y0 + rows - NIR_END), max(0, x0 + columns - NIR_END)
        return cls(max(0, BORDER - y0), top, left, right)

    def within(self, place: Rectangle, frame: tuple[int, int]) -> ReferenceBorder:
        """What of the border lies in a rectangle of the exposure."""
        rows, columns = place.shape
        return ReferenceBorder(
            min(max(self.bottom - place.y0, 0), rows),
            min(max(place.y1 - (frame[0] - self.top), 0), rows),
            min(max(self.left - place.x0, 0), columns),
            min(max(place.x1 - (frame[1] - self.right), 0), columns),
        )

    def interior(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns without reference pixels."""
        rows, columns = shape
        return (
            slice(self.bottom, max(rows - self.top, self.bottom)),
            slice(self.left, max(columns - self.right, self.left)),
        )


def deconvolve(data: Floats, kernel: Floats, border: ReferenceBorder) -> Floats:
    """Data (integrations, groups, rows, columns) in DN, convolved with the kernel inside `border`.

    `kernel` is (rows, columns), or has two more axes for the pixels that it belongs to. Beyond
    the border everything is 0.
    """
    rows, columns = border.interior(data.shape[-2:])
    inside = (..., rows, columns)
    out = data.copy()
    if 0 in out[inside].shape:
        return out
    if kernel.ndim > 2:  # noqa: PLR2004 - a kernel for each pixel
        _kernels.convolve_each(rows_of(data)[inside], out[inside], rows_of(kernel[inside]))
    else:
        _kernels.convolve(rows_of(data)[inside], out[inside], np.ascontiguousarray(kernel))
    return out
