"""Find the jumps that cosmic rays leave in ramps, by comparing neighbouring groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.step import RampStep
from stpipe.steps import _jump
from stpipe.steps._arrays import bits_where

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.engine.chain import Chain
    from stpipe.references import CutReference, Reference, References
    from stpipe.steps._arrays import Bits, Floats, GroupBits

__all__ = [
    "AfterJump",
    "JumpRules",
    "JumpSearch",
    "JumpStep",
    "detect_jumps",
    "flag_after_jumps",
    "flag_gain",
]

FEWEST_GROUPS = 3


class JumpStep(RampStep):
    """Find the jumps that cosmic rays leave in ramps, by comparing neighbouring groups.

    Differences of consecutive groups are compared with the median of the pixel's differences over
    all integrations; the expected scatter is Poisson noise of the median plus read noise (Anderson
    & Gordon 2011, PASP 123, 1237). With at least `min_diffs_single_pass` differences in an
    integration all outliers are found at once. With fewer, the largest is found against the median
    of the others and removed, again and again; three and two differences have thresholds of their
    own. The names of those count groups, as in `three_group_rejection_threshold`.

    Jumps between `min_jump_to_flag_neighbors` and `max_jump_to_flag_neighbors` sigma reach the four
    neighbours. Jumps above `after_jump_flag_dn1` (or `2`) are followed by a transient: groups
    within `after_jump_flag_time1` seconds after them are flagged, too.

    Sigma clipping over many integrations, snowballs and showers are not implemented: exposures of
    100 integrations and more are searched like shorter ones.

    Differences from jwst 3.0.0: an exposure with fewer than three usable groups is skipped, with no
    PRIMECRS, where jwst reports COMPLETE and a negative rate of cosmic rays.
    """

    alias = "jump"
    suffix = "jump"
    status = "jump"
    reference_types = ("gain", "readnoise")
    prerequisites = ("meta.exposure.nframes", "meta.exposure.group_time")
    halo = 1
    flags = dqflags.JUMP_DET
    spec = """
        rejection_threshold = float(min=0, default=4.0)  # Sigma above which a difference is a jump
        three_group_rejection_threshold = float(min=0, default=6.0)  # The same with 3 groups
        four_group_rejection_threshold = float(min=0, default=5.0)  # The same with 4 groups
        flag_4_neighbors = boolean(default=True)  # Flag the four pixels around a jump
        max_jump_to_flag_neighbors = float(default=1000)  # Sigma of jumps that stay alone
        min_jump_to_flag_neighbors = float(default=10)  # Sigma of jumps that reach neighbours
        after_jump_flag_dn1 = float(default=0)  # DN of jumps with groups to flag after them
        after_jump_flag_time1 = float(default=0)  # Seconds after such a jump to flag
        after_jump_flag_dn2 = float(default=0)  # DN of a second kind of jump with a time of its own
        after_jump_flag_time2 = float(default=0)  # Seconds after such a jump to flag
        min_diffs_single_pass = integer(default=10)  # Differences for a single pass
    """
    rejection_threshold: float
    three_group_rejection_threshold: float
    four_group_rejection_threshold: float
    flag_4_neighbors: bool
    max_jump_to_flag_neighbors: float
    min_jump_to_flag_neighbors: float
    after_jump_flag_dn1: float
    after_jump_flag_time1: float
    after_jump_flag_dn2: float
    after_jump_flag_time2: float
    min_diffs_single_pass: int

    def not_needed(self, meta: Mapping[str, Any], selected: Mapping[str, Reference]) -> str:
        """Not without three groups to compare."""
        del selected
        ngroups = meta.get("meta.exposure.ngroups", 0)
        return "" if ngroups >= FEWEST_GROUPS else f"{ngroups} groups, {FEWEST_GROUPS} are needed"

    def survey(self, exposure: Chain, references: References) -> JumpSearch:
        """Count the groups that can be used at all."""
        unusable = exposure.everywhere(dqflags.DO_NOT_USE)
        usable = exposure.shape[1] - int(unusable.sum(axis=1).max())
        if usable < FEWEST_GROUPS:
            raise Skip(f"{usable} usable groups, {FEWEST_GROUPS} are needed")
        nints, ngroups, rows, columns = exposure.shape
        return JumpSearch(
            self._rules(usable, exposure.meta.exposure.nframes),
            self._after(references["gain"].data, exposure.meta.exposure.group_time),
            (nints * (ngroups - 1) - int(unusable.sum())) * rows * columns,
        )

    def correct(self, ramp: Any, references: Mapping[str, CutReference]) -> None:
        """Flag jumps in GROUPDQ, pixels without gain in PIXELDQ, and count the events."""
        gain, readnoise = references["gain"].data, references["readnoise"].data
        search = ramp.known
        groupdq, counts = detect_jumps(ramp.data, ramp.groupdq, gain, readnoise, search.rules)
        if search.after:
            groupdq = flag_after_jumps(ramp.data, groupdq, gain, search.after)
        ramp.groupdq = groupdq
        ramp.pixeldq = flag_gain(ramp.pixeldq, gain)
        ramp.totals["events"] += int(counts[ramp.own.within(ramp.place)].sum())

    def _rules(self, usable: int, nframes: int) -> JumpRules:
        spread = (self.min_jump_to_flag_neighbors, self.max_jump_to_flag_neighbors)
        return JumpRules(
            many=self.rejection_threshold,
            three=self.four_group_rejection_threshold,
            two=self.three_group_rejection_threshold,
            nframes=nframes,
            single_pass=usable - 1 >= self.min_diffs_single_pass,
            spread=spread if self.flag_4_neighbors else None,
        )

    def _after(self, gain: Floats, group_time: float) -> list[AfterJump]:
        """Kinds of jumps with a transient; empty when both last less than a group."""
        median = np.nanmedian(gain)
        kinds = [
            AfterJump(float(dn * median), int(time // group_time))
            for dn, time in (
                (self.after_jump_flag_dn1, self.after_jump_flag_time1),
                (self.after_jump_flag_dn2, self.after_jump_flag_time2),
            )
        ]
        return kinds if any(kind.ngroups > 0 for kind in kinds) else []

    def conclude(self, meta: Any, totals: Mapping[str, int], known: JumpSearch) -> None:
        """Rate of primary events, per second and 1000 pixels."""
        if known.intervals > 0:
            seconds = meta.exposure.group_time * known.intervals
            meta.exposure.primary_cosmic_rays = 1000 * totals["events"] / seconds
            meta.exposure.extended_emission_events = 0.0


@dataclass(frozen=True)
class JumpRules:
    """When a difference of two groups is a jump; thresholds in sigma."""

    many: float  # four or more differences
    three: float
    two: float
    nframes: int  # frames averaged in a group
    single_pass: bool  # find all jumps of a pixel at once
    spread: tuple[float, float] | None  # jumps between these reach the four neighbours


@dataclass(frozen=True)
class AfterJump:
    """Jumps of at least `limit` e- are followed by `ngroups` groups to flag."""

    limit: float
    ngroups: int


@dataclass(frozen=True)
class JumpSearch:
    """What the search needs to know of the whole exposure."""

    rules: JumpRules
    after: list[AfterJump]
    intervals: int  # between usable groups, over all pixels


def flag_gain(pixeldq: Bits, gain: Floats) -> Bits:
    """Flags (rows, columns) with NO_GAIN_VALUE and DO_NOT_USE where the gain is not positive."""
    return pixeldq | bits_where(~(gain > 0), dqflags.NO_GAIN_VALUE | dqflags.DO_NOT_USE)


def detect_jumps(
    data: Floats, groupdq: GroupBits, gain: Floats, readnoise: Floats, rules: JumpRules
) -> tuple[GroupBits, npt.NDArray[np.int32]]:
    """Flags with JUMP_DET at jumps and their neighbours, and the number of jumps in each pixel.

    Parameters
    ----------
    data, groupdq
        Counts in DN and flags, (integrations, groups, rows, columns). DO_NOT_USE and SATURATED
        groups take no part.
    gain
        e-/DN, (rows, columns).
    readnoise
        Noise of a difference of two reads, in DN, (rows, columns).
    rules
        Thresholds.

    Returns
    -------
    tuple
        Flags; flagged groups before neighbours, (rows, columns). Neighbours of rows outside a band are
        not known: the first and last row of a band are final only at the edges of the frame.
    """
    flags = groupdq.copy()
    counts = np.zeros(data.shape[2:], dtype=np.int32)
    noise2 = np.square(readnoise * gain)
    above, below = rules.spread or (np.inf, -np.inf)
    members = {
        "many": rules.many,
        "three": rules.three,
        "two": rules.two,
        "nframes": rules.nframes,
        "single_pass": rules.single_pass,
        "spread_above": above,
        "spread_below": below,
    }
    _jump.detect(_rows(data), flags, _rows(gain), noise2, members, counts)
    return flags, counts


def flag_after_jumps(
    data: Floats, groupdq: GroupBits, gain: Floats, kinds: list[AfterJump]
) -> GroupBits:
    """Flags with JUMP_DET also in the groups after large jumps.

    `groupdq` holds the jumps; the other arrays are those of `detect_jumps`. The height of a jump is
    its difference minus the median of the pixel's differences.
    """
    flags = groupdq.copy()
    limits = np.array([kind.limit for kind in kinds], dtype=np.float64)
    ngroups = np.array([kind.ngroups for kind in kinds], dtype=np.int64)
    _jump.flag_after(_rows(data), flags, _rows(gain), limits, ngroups)
    return flags


def _rows(array: Floats) -> Floats:
    """The array with contiguous columns, as the kernels read it."""
    return array if array.strides[-1] == array.itemsize else np.ascontiguousarray(array)
