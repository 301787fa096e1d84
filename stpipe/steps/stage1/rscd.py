"""Leave out the first groups of MIRI's integrations, which settle after the reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has, or_where

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.engine.band import Band
    from stpipe.engine.chain import Chain
    from stpipe.models.protocols import FlatMetadata, Meta, Table
    from stpipe.references.opened import CutReference, References
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import GroupBits

__all__ = ["RscdStep", "flag_first_groups", "groups_to_skip", "limit_skip", "skipped_of_pixels"]

FEWEST_GROUPS = 3
SHORT = 5  # groups up to which only the first is left out


class RscdStep(RampStep):
    """Leave out the first groups of MIRI's integrations, which settle after the reset.

    How many (reset switch charge decay) depends on subarray and readout pattern, and is different
    for the first integration. Where a pixel saturates soon, fewer are left out, so that two
    unsaturated groups remain if possible; such pixels are FLUX_ESTIMATED.

    Keywords tell the number of groups (INT1SKIP, INT2SKIP), of pixels for which it was lowered
    (INT1BORS, INT2BORS), and of those that keep even the first group (INT1UGP1, INT2UGP1).

    Difference from jwst 3.0.0: when no groups are left out anyway, no pixel counts as keeping its
    first group, where jwst then counts all of them.
    """

    alias = "rscd"
    suffix = "rscd"
    status = "rscd"
    halo = 0
    reference_types = ("rscd",)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only for MIRI, and not without two other groups."""
        del selected
        if meta.get("meta.instrument.name") != "MIRI":
            return "only for MIRI"
        ngroups = meta.get("meta.exposure.ngroups", 0)
        return "" if ngroups >= FEWEST_GROUPS else f"{ngroups} groups, {FEWEST_GROUPS} are needed"

    def prepare(self, exposure: Chain, references: References) -> dict[str, tuple[slice, int]]:
        """Ranges of integrations by label, with the groups to leave out of each."""
        table, meta = references["rscd"].rscd_group_skip_table, exposure.meta
        requested = groups_to_skip(table, meta.subarray.name, meta.exposure.readpatt)
        in_first, in_later = (limit_skip(n, exposure.shape[1]) for n in requested)
        later = 1 if meta.exposure.integration_start in (None, 1) else 0
        ranges = {"int1": (slice(0, 1), in_first)} if later else {}
        if (meta.exposure.nints or exposure.shape[0]) > 1:
            ranges["int2p"] = slice(later, None), in_later
        return ranges

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Flag the first groups of the first and of all later integrations."""
        del references
        for label, (integrations, requested) in ramp.known.items():
            here = range(*integrations.indices(ramp.first + len(ramp.data)))
            there = slice(max(here.start - ramp.first, 0), max(here.stop - ramp.first, 0))
            self._flag(ramp, there, requested, label)

    @staticmethod
    def _flag(ramp: Band, integrations: slice, requested: int, label: str) -> None:
        """Flag a range of integrations and count pixels that are treated differently."""
        skipped = skipped_of_pixels(ramp.groupdq[integrations], requested)
        lowered = skipped < requested
        groupdq = ramp.groupdq.copy()
        flag_first_groups(groupdq[integrations], skipped)
        ramp.groupdq = groupdq
        estimated = bits_where(np.any(lowered, axis=0), dqflags.FLUX_ESTIMATED)
        ramp.pixeldq = ramp.pixeldq | estimated
        ramp.count(f"keep_groups_saturation_{label}", np.any(lowered, axis=0))
        ramp.count(f"keep_bright_firstgroup_{label}", np.any(lowered & (skipped == 0), axis=0))

    def finish(
        self, meta: Meta, totals: Mapping[str, int], known: dict[str, tuple[slice, int]]
    ) -> None:
        """Keywords that tell what was left out."""
        for label, (_, requested) in known.items():
            setattr(meta.rscd, f"ngroups_skip_{label}", requested)
            for name in ("keep_groups_saturation", "keep_bright_firstgroup"):
                setattr(meta.rscd, f"{name}_{label}", totals[f"{name}_{label}"])


def groups_to_skip(table: Table, subarray: str, readpatt: str) -> tuple[int, int]:
    """Groups to leave out in the first integration and in later ones, from the reference's table.

    Raises
    ------
    Skip
        When the table has no row for subarray and readout pattern.
    """
    wanted = "SLITLESSPRISM" if subarray.upper() == "SUBPRISM" else subarray, readpatt
    for row in table:
        if (_text(row["subarray"]), _text(row["readpatt"])) == wanted:
            first = int(row["group_skip1"])
            # Older references know nothing about the first integration.
            return (first if first >= 0 else 1), int(row["group_skip"])
    raise Skip(f"the reference has no row for subarray {wanted[0]} and readout {readpatt}")


def _text(value: bytes | str) -> str:
    return (value.decode("ascii") if isinstance(value, bytes) else str(value)).strip()


def limit_skip(requested: int, ngroups: int) -> int:
    """Groups to leave out of `ngroups`: one of few, and never so many that under three remain."""
    return min(1 if ngroups <= SHORT else requested, max(0, ngroups - FEWEST_GROUPS))


def skipped_of_pixels(groupdq: GroupBits, requested: int) -> npt.NDArray[np.uint16]:
    """Groups to leave out of each ramp, (integrations, rows, columns).

    Fewer than requested where one of the two groups that follow is SATURATED, but the first is not.
    """
    skipped = np.full((len(groupdq), *groupdq.shape[2:]), requested, dtype=np.uint16)
    for k in range(min(requested + 2, groupdq.shape[1]) - 1, -1, -1):
        np.putmask(
            skipped, has(groupdq[:, k], dqflags.SATURATED), max(k - 2, 0) if k else requested
        )
    return skipped


def flag_first_groups(groupdq: GroupBits, skipped: npt.NDArray[np.uint16]) -> None:
    """Set DO_NOT_USE in the first `skipped` groups of (integrations, groups, rows, columns)."""
    for k in range(int(skipped.max(initial=0))):
        or_where(groupdq[:, k], skipped > k, dqflags.DO_NOT_USE)
