"""Leave out the last group of MIRI's integrations, which the reset disturbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.step import RampStep

if TYPE_CHECKING:
    from stpipe.references import References
    from stpipe.steps._arrays import GroupBits

__all__ = ["LastFrameStep", "flag_last_group"]

FEWEST_GROUPS = 3


class LastFrameStep(RampStep):
    """Leave out the last group of MIRI's integrations, which the reset disturbs.

    Integrations of one or two groups are left as they are.
    """

    alias = "lastframe"
    suffix = "lastframe"
    status = "lastframe"

    def correct(self, ramp: Any, references: References) -> None:
        """Flag the last group."""
        del references
        if ramp.meta.instrument.name != "MIRI":
            raise Skip("only for MIRI")
        if ramp.data.shape[1] < FEWEST_GROUPS:
            raise Skip(f"{ramp.data.shape[1]} groups, at least {FEWEST_GROUPS} are needed")
        ramp.groupdq = flag_last_group(ramp.groupdq)


def flag_last_group(groupdq: GroupBits) -> GroupBits:
    """Flags (integrations, groups, rows, columns) with DO_NOT_USE in the last group."""
    flags = groupdq.copy()
    flags[:, -1] |= dqflags.DO_NOT_USE
    return flags
