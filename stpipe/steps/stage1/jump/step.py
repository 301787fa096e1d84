"""Find the jumps that cosmic rays leave in ramps, by comparing neighbouring groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.engine.chain import compute
from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has, rows_of
from stpipe.steps.stage1.jump import _kernels
from stpipe.steps.stage1.jump.large_events import (
    Electrons,
    ShowerRules,
    SnowballRules,
    flag_showers,
    flag_snowballs,
)
from stpipe.steps.stage1.jump.quiet_ranges import StoredRanges, find_quiet_ranges, flag_outside

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.engine.band import Band
    from stpipe.engine.chain import Chain
    from stpipe.models import RampModel
    from stpipe.models.protocols import FlatMetadata, Meta
    from stpipe.references.opened import CutReference, References
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats, GroupBits

__all__ = [
    "AfterJump",
    "Clipping",
    "JumpRules",
    "JumpSearch",
    "JumpStep",
    "clip_jumps",
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

    An exposure of `minimum_sigclip_groups` integrations has enough differences to tell their scatter
    itself: each is compared with the same one in all integrations, by clipping at
    `rejection_threshold` standard deviations around the median. Without `only_use_ints` all
    differences of a pixel are compared together, once there are as many groups. A group in which
    every pixel would be a jump has none: it is the scene that has changed.

    With `expand_large_events` snowballs of the near infrared are flagged, with `find_showers`
    showers of the mid-infrared (see `large_events`). Both look at whole frames after the search, and
    the whole exposure is kept in memory for it.

    Differences from jwst 3.0.0: `max_shower_amplitude` decides, as e-/s, where jwst overrides it
    with 6; an exposure with too few usable groups is skipped, with no
    PRIMECRS, where jwst reports COMPLETE and a negative rate of cosmic rays; `minimum_groups`, which
    is always 3 in jwst, can be changed.
    """

    alias = "jump"
    suffix = "jump"
    status = "jump"
    reference_types = ("gain", "readnoise")
    prerequisites = ("meta.exposure.nframes", "meta.exposure.group_time")
    halo = 1
    compares_integrations = True
    band_mb = 35
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
        minimum_groups = integer(default=3)  # Usable groups of an integration to search at all
        minimum_sigclip_groups = integer(default=100)  # Integrations (or groups) for sigma clipping
        only_use_ints = boolean(default=True)  # Clip each difference over integrations only
        expand_large_events = boolean(default=False)  # Flag snowballs, in the near infrared
        min_sat_area = float(default=1.0)  # Saturated pixels in the core of a snowball
        min_jump_area = float(default=5.0)  # Pixels that jump in a snowball
        expand_factor = float(default=2.0)  # Factor by which the ellipse of a snowball grows
        sat_required_snowball = boolean(default=True)  # No snowball without a saturated core
        min_sat_radius_extend = float(default=2.5)  # Short axis of a core that grows, in pixels
        sat_expand = integer(default=2)  # Pixels by which the radius of a core grows
        edge_size = integer(default=25)  # Pixels from an edge where no core is required
        mask_snowball_core_next_int = boolean(default=True)  # Flag cores in the next integration
        snowball_time_masked_next_int = integer(default=4000)  # Seconds to flag there
        find_showers = boolean(default=False)  # Flag showers, in the mid-infrared
        max_shower_amplitude = float(default=4)  # Change of a rate that a shower explains
        extend_snr_threshold = float(default=1.2)  # Sigma in a ring of a shower
        extend_min_area = integer(default=90)  # Pixels of a shower
        extend_inner_radius = float(default=1)  # Inner radius of the ring, in pixels
        extend_outer_radius = float(default=2.6)  # Width of the ring, in pixels
        extend_ellipse_expand_ratio = float(default=1.1)  # Factor by which the ellipse grows
        time_masked_after_shower = float(default=15)  # Seconds after a shower to flag
        max_extended_radius = integer(default=200)  # Largest radius to flag, in pixels
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
    minimum_groups: int
    minimum_sigclip_groups: int
    only_use_ints: bool
    expand_large_events: bool
    min_sat_area: float
    min_jump_area: float
    expand_factor: float
    sat_required_snowball: bool
    min_sat_radius_extend: float
    sat_expand: int
    edge_size: int
    mask_snowball_core_next_int: bool
    snowball_time_masked_next_int: int
    find_showers: bool
    max_shower_amplitude: float
    extend_snr_threshold: float
    extend_min_area: int
    extend_inner_radius: float
    extend_outer_radius: float
    extend_ellipse_expand_ratio: float
    time_masked_after_shower: float
    max_extended_radius: int

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Not without three groups to compare."""
        del selected
        ngroups = meta.get("meta.exposure.ngroups", 0)
        return "" if ngroups >= FEWEST_GROUPS else f"{ngroups} groups, {FEWEST_GROUPS} are needed"

    def process(self, ramp: RampModel) -> RampModel:
        """Search band by band; then look at whole frames, where large events are wanted."""
        searched = super().process(ramp)
        if self.expand_large_events or self.find_showers:
            compute(searched)
            self.flag_large_events(searched)
        return searched

    def flag_large_events(self, ramp: RampModel) -> None:
        """Flag snowballs and showers in a ramp that has been searched, and count them."""
        exposure, groupdq, found = ramp.meta.exposure, ramp.groupdq, 0
        if self.expand_large_events:
            groupdq, found = flag_snowballs(groupdq, self.snowball_rules(exposure.group_time))
        if self.find_showers:
            gain, readnoise = self.references["gain"].data, self.references["readnoise"].data
            electrons = Electrons(ramp.data * gain, readnoise * gain)
            rules = self.shower_rules(exposure.group_time, exposure.nframes)
            groupdq, found = flag_showers(electrons, groupdq, ramp.pixeldq, rules)
        ramp.groupdq = groupdq
        if exposure.extended_emission_events is not None:
            unusable: Booleans = np.all(has(groupdq, dqflags.DO_NOT_USE), axis=(2, 3))
            intervals = unusable.size - len(unusable) - int(unusable.sum())
            time = exposure.group_time * intervals * groupdq[0, 0].size
            exposure.extended_emission_events = 1e6 * found / time

    def snowball_rules(self, group_time: float) -> SnowballRules:
        """The parameters of snowballs."""
        groups_next = int(self.snowball_time_masked_next_int // group_time)
        return SnowballRules(
            min_sat_area=self.min_sat_area,
            min_jump_area=self.min_jump_area,
            expand_factor=self.expand_factor,
            sat_required_snowball=self.sat_required_snowball,
            min_sat_radius_extend=self.min_sat_radius_extend,
            sat_expand=self.sat_expand,
            edge_size=self.edge_size,
            max_extended_radius=self.max_extended_radius,
            groups_next=groups_next if self.mask_snowball_core_next_int else 0,
        )

    def shower_rules(self, group_time: float, nframes: int) -> ShowerRules:
        """The parameters of showers."""
        return ShowerRules(
            extend_snr_threshold=self.extend_snr_threshold,
            extend_min_area=self.extend_min_area,
            extend_inner_radius=self.extend_inner_radius,
            extend_outer_radius=self.extend_outer_radius,
            extend_ellipse_expand_ratio=self.extend_ellipse_expand_ratio,
            max_extended_radius=self.max_extended_radius,
            groups_after=int(self.time_masked_after_shower // group_time),
            most_change=self.max_shower_amplitude * group_time,
            nframes=nframes,
            minimum_sigclip_groups=self.minimum_sigclip_groups,
        )

    def prepare(self, exposure: Chain, references: References) -> JumpSearch:
        """Count the groups that can be used at all."""
        unusable = exposure.everywhere(dqflags.DO_NOT_USE)
        usable = exposure.shape[1] - int(unusable.sum(axis=1).max())
        clipping = self._clipping(unusable)
        if usable < self.minimum_groups and clipping is None:
            raise Skip(f"{usable} usable groups, {self.minimum_groups} are needed")
        nints, ngroups, rows, columns = exposure.shape
        rules = self._rules(usable, exposure.meta.exposure.nframes)
        quiet = None
        if exposure.is_long:
            how = (clipping.rejection_threshold, clipping.only_use_ints) if clipping else None
            quiet, changed = find_quiet_ranges(exposure, references, vars(rules), how, ~unusable)
            clipping = clipping and replace(clipping, changed=changed)
        elif clipping:
            clipping = clipping.prepare(exposure, references, ~unusable)
        return JumpSearch(
            replace(rules, found=clipping is not None or quiet is not None),
            self._after(references["gain"].data, exposure.meta.exposure.group_time),
            (nints * (ngroups - 1) - int(unusable.sum())) * rows * columns,
            clipping,
            quiet,
        )

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Flag jumps in GROUPDQ, pixels without gain in PIXELDQ, and count the events."""
        gain, readnoise = references["gain"].data, references["readnoise"].data
        search = ramp.known
        quiet = search.quiet and search.quiet.part(ramp.place)
        medians = quiet and quiet.medians
        groupdq = ramp.groupdq
        if quiet:
            groupdq = flag_outside(ramp.data, groupdq, gain, quiet)
        elif search.clipping:
            groupdq = search.clipping.flag(ramp.data, groupdq, gain)
        if search.clipping:
            groupdq = search.clipping.without_changes(groupdq, ramp.first)
        groupdq, counts = detect_jumps(
            ramp.data, groupdq, gain, readnoise, search.rules, medians=medians
        )
        if search.after:
            groupdq = flag_after_jumps(ramp.data, groupdq, gain, search.after, medians=medians)
        ramp.groupdq = groupdq
        ramp.pixeldq = flag_gain(ramp.pixeldq, gain)
        ramp.totals["events"] += int(counts[ramp.own.within(ramp.place)].sum())

    def _clipping(self, unusable: Booleans) -> Clipping | None:
        """Sigma clipping, where there are enough differences for it."""
        there = len(unusable) if self.only_use_ints else int((~unusable).sum())
        if there < self.minimum_sigclip_groups:
            return None
        return Clipping(self.rejection_threshold, self.only_use_ints)

    def _rules(self, usable: int, nframes: int) -> JumpRules:
        none = (np.inf, -np.inf)
        usual = (self.min_jump_to_flag_neighbors, self.max_jump_to_flag_neighbors)
        least, most = usual if self.flag_4_neighbors else none
        return JumpRules(
            rejection_threshold=self.rejection_threshold,
            four_group_rejection_threshold=self.four_group_rejection_threshold,
            three_group_rejection_threshold=self.three_group_rejection_threshold,
            nframes=nframes,
            single_pass=usable - 1 >= self.min_diffs_single_pass,
            min_jump_to_flag_neighbors=least,
            max_jump_to_flag_neighbors=most,
        )

    def _after(self, gain: Floats, group_time: float) -> list[AfterJump]:
        """Kinds of jumps with a transient; empty when both last less than a group."""
        asked = (
            (self.after_jump_flag_dn1, int(self.after_jump_flag_time1 // group_time)),
            (self.after_jump_flag_dn2, int(self.after_jump_flag_time2 // group_time)),
        )
        if not any(ngroups > 0 for _, ngroups in asked):
            return []
        median = np.nanmedian(gain)
        return [AfterJump(float(dn * median), ngroups) for dn, ngroups in asked]

    def finish(self, meta: Meta, totals: Mapping[str, int], known: JumpSearch) -> None:
        """Rate of primary events, per second and 1000 pixels."""
        if known.intervals > 0:
            seconds = meta.exposure.group_time * known.intervals
            meta.exposure.primary_cosmic_rays = 1000 * totals["events"] / seconds
            meta.exposure.extended_emission_events = 0.0


@dataclass(frozen=True)
class JumpRules:
    """When a difference of two groups is a jump; thresholds in sigma."""

    rejection_threshold: float  # four or more differences
    four_group_rejection_threshold: float  # three
    three_group_rejection_threshold: float  # two
    nframes: int  # frames averaged in a group
    single_pass: bool  # find all jumps of a pixel at once
    min_jump_to_flag_neighbors: float = np.inf  # jumps from here
    max_jump_to_flag_neighbors: float = -np.inf  # to here reach the four neighbours
    found: bool = False  # the flags hold the jumps already; only neighbours are missing


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
    clipping: Clipping | None = None
    quiet: StoredRanges | None = None  # of long exposures, found beforehand


@dataclass(frozen=True)
class Clipping:
    """The search by sigma clipping, in exposures of many integrations."""

    rejection_threshold: float  # standard deviations
    only_use_ints: bool  # each difference over integrations, not all of a pixel together
    changed: Booleans | None = None  # groups (integrations, groups) in which the scene has changed

    def prepare(self, exposure: Chain, references: References, suspects: Booleans) -> Clipping:
        """Find groups in which every pixel is a jump; bands are looked at until none is left."""
        for place in exposure.rectangles():
            if not suspects.any():
                break
            _, rows, columns = place.section
            band = exposure.part(rows, columns)
            gain = references.part(place)["gain"].data
            flags = self.flag(band.data, band.groupdq, gain)
            bits = dqflags.JUMP_DET | dqflags.DO_NOT_USE
            suspects = suspects & has(flags, bits).all(axis=(2, 3))
        return replace(self, changed=suspects)

    def flag(self, data: Floats, groupdq: GroupBits, gain: Floats) -> GroupBits:
        """Flags with JUMP_DET at jumps."""
        by = self.rejection_threshold
        return clip_jumps(data, groupdq, gain, by, only_use_ints=self.only_use_ints)

    def without_changes(self, groupdq: GroupBits, first: int) -> GroupBits:
        """Flags of integrations from `first` on, but none where nothing but the scene changed."""
        if self.changed is None or not self.changed.any():
            return groupdq
        flags = groupdq.copy()
        for i, k in np.argwhere(self.changed[first : first + len(groupdq)]):
            flags[i, k][flags[i, k] == dqflags.JUMP_DET] = 0
        return flags


def flag_gain(pixeldq: Bits, gain: Floats) -> Bits:
    """Flags (rows, columns) with NO_GAIN_VALUE and DO_NOT_USE where the gain is not positive."""
    return pixeldq | bits_where(~(gain > 0), dqflags.NO_GAIN_VALUE | dqflags.DO_NOT_USE)


def detect_jumps(
    data: Floats,
    groupdq: GroupBits,
    gain: Floats,
    readnoise: Floats,
    rules: JumpRules,
    *,
    medians: Doubles | None = None,
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
    medians
        Of the differences of each pixel in all integrations, in e-, (rows, columns), where there is
        a part of them only.

    Returns
    -------
    tuple
        Flags; flagged groups before neighbours, (rows, columns). Neighbours of rows outside a band are
        not known: the first and last row of a band are final only at the edges of the frame.
    """
    flags = groupdq.copy()
    counts = np.zeros(data.shape[2:], dtype=np.int32)
    noise2 = np.square(readnoise * gain)
    _kernels.detect(rows_of(data), flags, rows_of(gain), noise2, vars(rules), counts, medians)
    return flags, counts


def clip_jumps(
    data: Floats,
    groupdq: GroupBits,
    gain: Floats,
    rejection_threshold: float,
    *,
    only_use_ints: bool,
) -> GroupBits:
    """Flags with JUMP_DET at differences that sigma clipping leaves out.

    Clipping is around the median, at `rejection_threshold` standard deviations, in at most five
    rounds: of each difference over all integrations, or without `only_use_ints` of all differences
    of a pixel together. The arrays are those of `detect_jumps`.
    """
    flags = groupdq.copy()
    _kernels.clip(rows_of(data), flags, rows_of(gain), rejection_threshold, only_use_ints)
    return flags


def flag_after_jumps(
    data: Floats,
    groupdq: GroupBits,
    gain: Floats,
    kinds: list[AfterJump],
    *,
    medians: Doubles | None = None,
) -> GroupBits:
    """Flags with JUMP_DET also in the groups after large jumps.

    `groupdq` holds the jumps; the other arrays are those of `detect_jumps`. The height of a jump is
    its difference minus the median of the pixel's differences.
    """
    flags = groupdq.copy()
    limits = np.array([kind.limit for kind in kinds], dtype=np.float64)
    ngroups = np.array([kind.ngroups for kind in kinds], dtype=np.int64)
    _kernels.flag_after(rows_of(data), flags, rows_of(gain), limits, ngroups, medians)
    return flags
