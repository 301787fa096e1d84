"""Leave out the last group of MIRI's integrations, which the reset disturbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.models import dqflags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata, Ramp
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, GroupBits

__all__ = ["LastFrameStep", "flag_last_group"]

FEWEST_GROUPS = 3


class LastFrameStep(RampStep):
    """Leave out the last group of MIRI's integrations, which the reset disturbs.

    Integrations of one or two groups are left as they are.
    """

    alias = "lastframe"
    suffix = "lastframe"
    status = "lastframe"
    halo = 0

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only for MIRI, and not without two other groups."""
        del selected
        if meta.get("meta.instrument.name") != "MIRI":
            return "only for MIRI"
        ngroups = meta.get("meta.exposure.ngroups", 0)
        return "" if ngroups >= FEWEST_GROUPS else f"{ngroups} groups, {FEWEST_GROUPS} are needed"

    def flags_everywhere(self, bits: int, shape: tuple[int, int]) -> Booleans:
        """The last group."""
        certain = np.zeros(shape, dtype=bool)
        certain[:, -1] = bool(bits & dqflags.DO_NOT_USE)
        return certain

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Flag the last group."""
        del references
        ramp.groupdq = flag_last_group(ramp.groupdq)


def flag_last_group(groupdq: GroupBits) -> GroupBits:
    """Flags (integrations, groups, rows, columns) with DO_NOT_USE in the last group."""
    flags = groupdq.copy()
    flags[:, -1] |= dqflags.DO_NOT_USE
    return flags
