"""Subtract the bias of the detector from every group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.science.arrays import known_or_zero

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import Ramp
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Floats

__all__ = ["SuperBiasStep", "subtract_bias", "subtract_bias_from_zeroframe"]


class SuperBiasStep(RampStep):
    """Subtract the bias of the detector from every group.

    For near-infrared detectors. Where the reference is NaN nothing is subtracted; its flags are
    added to PIXELDQ. In the zero frame, 0 means "no data" and stays 0.
    """

    alias = "superbias"
    suffix = "superbias"
    status = "superbias"
    halo = 0
    flags = 0
    reference_types = ("superbias",)

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Subtract the bias from groups and zero frame, and pass its flags on."""
        superbias = references["superbias"]
        bias = known_or_zero(superbias.data)
        ramp.data = subtract_bias(ramp.data, bias)
        ramp.pixeldq = ramp.pixeldq | superbias.dq
        if ramp.zeroframe is not None:
            ramp.zeroframe = subtract_bias_from_zeroframe(ramp.zeroframe, bias)


def subtract_bias(data: Floats, bias: Floats) -> Floats:
    """Data (integrations, groups, rows, columns) in DN minus the bias (rows, columns)."""
    return data - bias


def subtract_bias_from_zeroframe(zeroframe: Floats, bias: Floats) -> Floats:
    """Zero frame (integrations, rows, columns) minus the bias; 0 means no data and stays."""
    return np.where(zeroframe == 0, zeroframe, zeroframe - bias)
