"""Undo the division by a wrong number of frames when groups were averaged on board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata, Ramp
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Floats

__all__ = ["GroupScaleStep", "scale_groups"]


class GroupScaleStep(RampStep):
    """Undo the division by a wrong number of frames when groups were averaged on board.

    The spacecraft divides by a power of two (FRMDIVSR), also when NFRAMES is none. The zero frame
    is not averaged and stays as it is.
    """

    alias = "group_scale"
    suffix = "group_scale"
    status = "group_scale"
    halo = 0
    flags = 0

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Nothing to undo without both numbers, or when they are equal."""
        del selected
        nframes = meta.get("meta.exposure.nframes")
        divisor = meta.get("meta.exposure.frame_divisor")
        if nframes is None or divisor is None:
            return f"{'NFRAMES' if nframes is None else 'FRMDIVSR'} is missing in the header"
        return f"NFRAMES and FRMDIVSR are equal ({nframes})" if nframes == divisor else ""

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Scale all groups by FRMDIVSR / NFRAMES."""
        del references
        exposure = ramp.meta.exposure
        ramp.data = scale_groups(ramp.data, exposure.nframes, exposure.frame_divisor)


def scale_groups(data: Floats, nframes: int, divisor: int) -> Floats:
    """Averages of `nframes` frames from data that were divided by `divisor`, in DN."""
    return data * np.float32(divisor / nframes)
