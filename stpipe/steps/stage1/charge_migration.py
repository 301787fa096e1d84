"""Leave out groups in which charge has spilled into neighbouring pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.models import dqflags
from stpipe.science.arrays import or_where

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata, Ramp
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Floats, GroupBits

__all__ = ["ChargeMigrationStep", "flag_charge_loss"]

FEWEST_GROUPS = 3


class ChargeMigrationStep(RampStep):
    """Leave out groups in which charge has spilled into neighbouring pixels.

    From the first group above `signal_threshold` on, a pixel and its four neighbours are CHARGELOSS
    and DO_NOT_USE. The ramp fit leaves these groups out, but not from its estimate of read noise.
    Meant for NIRISS imaging; skipped unless asked for.
    """

    alias = "charge_migration"
    suffix = "charge_migration"
    status = "charge_migration"
    halo = 1
    spec = """
        skip = boolean(default=True)  # Leave this step out
        signal_threshold = float(default=25000)  # DN above which charge migrates
    """
    signal_threshold: float

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Not without two other groups."""
        del selected
        ngroups = meta.get("meta.exposure.ngroups", 0)
        return "" if ngroups >= FEWEST_GROUPS else f"{ngroups} groups, {FEWEST_GROUPS} are needed"

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Flag groups above the threshold."""
        del references
        ramp.groupdq = flag_charge_loss(ramp.data, ramp.groupdq, self.signal_threshold)


def flag_charge_loss(data: Floats, groupdq: GroupBits, signal_threshold: float) -> GroupBits:
    """Flags (integrations, groups, rows, columns) with CHARGELOSS and DO_NOT_USE added.

    `data` are counts in DN. Groups that are DO_NOT_USE and nothing else spill no charge.
    """
    flags = groupdq.copy()
    bits = dqflags.CHARGELOSS | dqflags.DO_NOT_USE
    for counts, before, after in zip(data, groupdq, flags, strict=True):
        lost = np.zeros(counts.shape[1:], dtype=bool)
        for k, full in enumerate((counts > signal_threshold) & (before != dqflags.DO_NOT_USE)):
            lost |= _with_neighbours(full)
            or_where(after[k], lost, bits)
    return flags


def _with_neighbours(mask: Booleans) -> Booleans:
    """Mask (rows, columns) and the four neighbours of each pixel in it."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
