"""Leave out the first group of MIRI's integrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata, Ramp
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, GroupBits

__all__ = ["FirstFrameStep", "flag_first_group", "saturate_in_third"]

FEWEST_GROUPS = 4


class FirstFrameStep(RampStep):
    """Leave out the first group of MIRI's integrations.

    Superseded by `rscd`, which leaves it out, too; skipped unless asked for. Pixels that saturate
    by the third group keep their first (`bright_use_group1`) and are FLUX_ESTIMATED. Integrations
    of up to three groups are left as they are.
    """

    alias = "firstframe"
    suffix = "firstframe"
    status = "firstframe"
    halo = 0
    spec = """
        skip = boolean(default=True)  # Leave this step out
        bright_use_group1 = boolean(default=True)  # Keep it where the third is saturated
    """
    bright_use_group1: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only for MIRI, and not without three other groups."""
        del selected
        if meta.get("meta.instrument.name") != "MIRI":
            return "only for MIRI"
        ngroups = meta.get("meta.exposure.ngroups", 0)
        return "" if ngroups >= FEWEST_GROUPS else f"{ngroups} groups, {FEWEST_GROUPS} are needed"

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Flag the first group."""
        del references
        bright = saturate_in_third(ramp.groupdq) & np.bool_(self.bright_use_group1)
        ramp.groupdq = flag_first_group(ramp.groupdq, keep=bright)
        estimated = bits_where(np.any(bright, axis=0), dqflags.FLUX_ESTIMATED)
        ramp.pixeldq = ramp.pixeldq | estimated


def saturate_in_third(groupdq: GroupBits) -> Booleans:
    """Ramps (integrations, rows, columns) that are SATURATED in their third group."""
    return has(groupdq[:, 2], dqflags.SATURATED)


def flag_first_group(groupdq: GroupBits, keep: Booleans) -> GroupBits:
    """Flags (integrations, groups, rows, columns), DO_NOT_USE in the first group but for `keep`."""
    flags = groupdq.copy()
    flags[:, 0] |= np.where(keep, 0, dqflags.DO_NOT_USE).astype(np.uint8)
    return flags
