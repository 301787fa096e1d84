"""Subtract what the reset leaves in the first groups of MIRI's integrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.science.arrays import known_or_zero

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.engine.band import Band
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Floats

__all__ = ["ResetStep", "subtract_reset"]


class ResetStep(RampStep):
    """Subtract what the reset leaves in the first groups of MIRI's integrations.

    The reference has as many groups as need correction, and as many integrations until the effect
    repeats itself; later integrations use its last.
    """

    alias = "reset"
    suffix = "reset"
    status = "reset"
    halo = 0
    flags = 0
    reference_types = ("reset",)

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Subtract the reference and pass its flags on."""
        reset = references["reset"]
        first = (ramp.meta.exposure.integration_start or 1) - 1 + ramp.first
        ramp.data = subtract_reset(ramp.data, reset.data, first)
        ramp.pixeldq = ramp.pixeldq | reset.dq


def subtract_reset(data: Floats, reset: Floats, first: int) -> Floats:
    """Data in DN minus the reset correction, both (integrations, groups, rows, columns).

    `first` is the number (from 0) of the first integration at hand. NaN corrects nothing.
    """
    ngroups = min(data.shape[1], reset.shape[1])
    corrected = np.empty(data.shape, np.float32)
    for integration, (counts, out) in enumerate(zip(data, corrected, strict=True), first):
        plane = reset[min(integration, len(reset) - 1), :ngroups]
        np.subtract(counts[:ngroups], known_or_zero(plane), out=out[:ngroups])
        out[ngroups:] = counts[ngroups:]
    return corrected
