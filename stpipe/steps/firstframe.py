"""Leave out the first group of MIRI's integrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.step import RampStep

if TYPE_CHECKING:
    from stpipe.references import References
    from stpipe.steps._arrays import Booleans, GroupBits

__all__ = ["FirstFrameStep", "flag_first_group", "saturate_in_third"]

FEWEST_GROUPS = 4


class FirstFrameStep(RampStep):
    """Leave out the first group of MIRI's integrations.

    Superseded by `rscd`, which leaves it out, too; skipped unless asked for. Pixels that saturate by
    the third group keep their first (`bright_use_group1`) and are FLUX_ESTIMATED. Integrations of
    up to three groups are left as they are.
    """

    alias = "firstframe"
    suffix = "firstframe"
    status = "firstframe"
    spec = """
        skip = boolean(default=True)  # Leave this step out
        bright_use_group1 = boolean(default=True)  # Keep the first group where the third is saturated
    """
    bright_use_group1: bool

    def correct(self, ramp: Any, references: References) -> None:
        """Flag the first group."""
        del references
        if ramp.meta.instrument.name != "MIRI":
            raise Skip("only for MIRI")
        if ramp.data.shape[1] < FEWEST_GROUPS:
            raise Skip(f"{ramp.data.shape[1]} groups, at least {FEWEST_GROUPS} are needed")
        bright = saturate_in_third(ramp.groupdq) & self.bright_use_group1
        ramp.groupdq = flag_first_group(ramp.groupdq, keep=bright)
        estimated = np.where(bright.any(axis=0), np.uint32(dqflags.FLUX_ESTIMATED), np.uint32(0))
        ramp.pixeldq = ramp.pixeldq | estimated


def saturate_in_third(groupdq: GroupBits) -> Booleans:
    """Ramps (integrations, rows, columns) that are SATURATED in their third group."""
    return (groupdq[:, 2] & dqflags.SATURATED) != 0


def flag_first_group(groupdq: GroupBits, keep: Booleans) -> GroupBits:
    """Flags (integrations, groups, rows, columns) with DO_NOT_USE in the first group, but `keep`."""
    flags = groupdq.copy()
    flags[:, 0] |= np.where(keep, 0, dqflags.DO_NOT_USE).astype(np.uint8)
    return flags
