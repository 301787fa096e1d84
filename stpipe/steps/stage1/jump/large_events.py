"""Snowballs and showers: particles that leave more than single pixels behind.

A region of connected pixels is described by the ellipse that has its second moments; what is flagged
is that ellipse, larger. All functions need whole frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has

if TYPE_CHECKING:
    from collections.abc import Callable

    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats, GroupBits

__all__ = [
    "Ellipse",
    "ShowerRules",
    "SnowballRules",
    "find_ellipses",
    "flag_showers",
    "flag_snowballs",
]

UNUSABLE = dqflags.DO_NOT_USE | dqflags.SATURATED
FLAGGED = UNUSABLE | dqflags.JUMP_DET
FEWEST_DIFFERENCES = 10  # of all integrations, for the noise of a pixel
CLIP = 5.0  # standard deviations, where integrations tell the scatter
CLIPPING_ROUNDS = 5
LEAST_WEIGHT = 1e-3  # of the ring; with less nothing is left to average


@dataclass(frozen=True)
class Ellipse:
    """An ellipse on pixels: centre, full axes and position angle of the long one (degrees from y)."""

    x: float
    y: float
    short: float
    long: float
    angle: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point is inside."""
        dx, dy = x - self.x, y - self.y
        if self.short == 0 or self.long == 0:
            return False
        # jwst counts the angle from x here, and so do we, to find the same snowballs.
        angle = math.radians(self.angle)
        along = dx * math.cos(angle) + dy * math.sin(angle)
        across = dx * math.sin(angle) - dy * math.cos(angle)
        return (along / self.long) ** 2 + (across / self.short) ** 2 <= 1 / 4

    def grown(self, ratio: float, widest: float) -> Ellipse:
        """Larger by a factor on the short axis and by as many pixels on the long one."""
        added = (ratio - 1) * self.short
        short, long = min(self.short * ratio, widest), min(self.long + added, widest)
        return Ellipse(self.x, self.y, 2 * round(short / 2), 2 * round(long / 2), self.angle)

    def widened(self, pixels: float, widest: float) -> Ellipse:
        """Larger by the same number of pixels on both axes."""
        short, long = min(self.short + pixels, widest), min(self.long + pixels, widest)
        return Ellipse(self.x, self.y, short, long, self.angle)

    def cover(self, frame: tuple[int, int]) -> tuple[tuple[slice, slice], Booleans]:
        """The pixels inside: a section of the frame and a mask of it.

        Centre and semi-axes are rounded to whole pixels first; an axis below a pixel covers nothing.
        """
        y, x, ry, rx = round(self.y), round(self.x), round(self.long / 2), round(self.short / 2)
        if ry == 0 or rx == 0:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), dtype=bool)
        turn = math.radians(self.angle) % math.pi
        sine, cosine = math.sin(turn), math.cos(turn)
        rows = _around(y, abs(ry * cosine) + rx * sine, frame[0])
        columns = _around(x, ry * sine + abs(rx * cosine), frame[1])
        dy, dx = np.ogrid[rows, columns]
        dy, dx = dy - y, dx - x
        along, across = (dy * cosine + dx * sine) / ry, (dy * sine - dx * cosine) / rx
        return (rows, columns), along**2 + across**2 < 1


def _around(centre: int, radius: float, size: int) -> slice:
    start = max(math.ceil(centre - radius), 0)
    return slice(start, max(min(math.floor(centre + radius), size - 1) + 1, start))


def find_ellipses(mask: Booleans, least_area: float) -> list[Ellipse]:
    """Ellipses of the connected regions (also over corners) of a mask (rows, columns).

    The area that must reach `least_area` counts holes.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    found = []
    for number, section in enumerate(ndimage.find_objects(labels), start=1):
        region = labels[section] == number
        # Few regions are large: most need no filling.
        if region.size < least_area:
            continue
        if np.count_nonzero(ndimage.binary_fill_holes(region, np.ones((3, 3)))) >= least_area:
            found.append(_ellipse_of(region, section[0].start, section[1].start))
    return found


def _ellipse_of(region: Booleans, y0: int, x0: int) -> Ellipse:
    """The ellipse with the second moments of a region, a pixel shorter on both axes.

    Axes are rounded to whole pixels later, and those of regular shapes are often halfway: rounding
    errors matter, which differ between processors. The operations are those of jwst on any of them.
    """
    y, x = np.nonzero(region)
    rows, columns = _powers(len(region), y.mean()), _powers(region.shape[1], x.mean())
    sums = np.einsum("yx,yp->px", region.astype(float), rows, optimize="greedy")
    moments = np.einsum("px,xq->pq", sums, columns, optimize="greedy")
    total = moments[2, 0] + moments[0, 2]
    xx, yy, xy = total - moments[2, 0], total - moments[0, 2], moments[1, 1]
    xx, yy, xy = xx / len(y), yy / len(y), xy / len(y)
    axes = np.linalg.eigvalsh([[xx, -xy], [-xy, yy]]).clip(0)
    short, long = (4 * math.sqrt(axis) - 1 for axis in axes)
    diagonal = 45 if xy > 0 else -45
    angle = diagonal if xx == yy else math.degrees(0.5 * math.atan2(2 * xy, yy - xx))
    return Ellipse(float((x + x0).mean()), float((y + y0).mean()), short, long, angle)


def _powers(size: int, centre: float) -> Doubles:
    """Powers 0 to 3 of the distances of `size` pixels from a centre."""
    return (np.arange(size)[:, None] - centre) ** np.arange(4.0)


def _flag_grown(flags: GroupBits, ellipses: list[Ellipse], ratio: float, widest: float) -> None:
    """Set JUMP_DET, in place, in larger ellipses in some groups (groups, rows, columns).

    What is saturated in a group is left out there and in all groups after it.
    """
    for ellipse in ellipses:
        section, inside = ellipse.grown(ratio, widest).cover(flags.shape[-2:])
        for group in flags:
            inside &= ~has(group[section], dqflags.SATURATED)
            group[section][inside] |= dqflags.JUMP_DET


# --- snowballs -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SnowballRules:
    """What a snowball is and how much of it to flag; lengths in pixels."""

    min_sat_area: float
    min_jump_area: float
    expand_factor: float  # of the ellipse of jumps
    sat_required_snowball: bool  # no snowball without saturation, but near an edge
    min_sat_radius_extend: float  # short axis of saturation that grows
    sat_expand: float  # of the radius of saturation
    edge_size: float
    max_extended_radius: float  # half the longest axis of what is flagged
    groups_next: int  # groups of the next integration to flag at cores


def flag_snowballs(groupdq: GroupBits, rules: SnowballRules) -> tuple[GroupBits, int]:
    """Flags (integrations, groups, rows, columns) with snowballs, and their number.

    Large regions of jumps around pixels that saturate in the same group or the next (Regan 2023,
    JWST-STScI-008545) are flagged as a larger ellipse. Large saturated cores grow for the rest of the
    integration and are jumps at the start of the next.
    """
    flags = groupdq.copy()
    cores = np.zeros((flags.shape[0], *flags.shape[2:]), dtype=bool)
    found = 0
    for integration, core in zip(flags, cores, strict=True):
        for k in range(1, len(integration)):
            found += _flag_group(integration, k, core, rules)
    end = min(rules.groups_next, flags.shape[1])
    for core, integration in zip(cores, flags[1:], strict=False):
        integration[1:end, core] |= dqflags.JUMP_DET
    return flags, found


def _flag_group(flags: GroupBits, k: int, core: Booleans, rules: SnowballRules) -> int:
    """Flag snowballs of group `k` of an integration, in place; add their cores to `core`."""
    saturated = _new_saturation(flags, k, rules)
    snowballs = find_ellipses(has(flags[k], dqflags.JUMP_DET), rules.min_jump_area)
    widest = 2 * rules.max_extended_radius
    if rules.sat_required_snowball:
        there = [*saturated, *_new_saturation(flags, k + 1, rules)]
        snowballs = [s for s in snowballs if _is_snowball(s, there, len(core), rules.edge_size)]
        for ellipse in saturated:
            if ellipse.short > rules.min_sat_radius_extend:
                section, inside = ellipse.widened(2 * rules.sat_expand, widest).cover(core.shape)
                flags[k:, *section][:, inside] = dqflags.SATURATED
                section, inside = ellipse.cover(core.shape)
                core[section][inside] = True
    _flag_grown(flags[k : k + 1], snowballs, rules.expand_factor, widest)
    return len(snowballs)


def _new_saturation(flags: GroupBits, k: int, rules: SnowballRules) -> list[Ellipse]:
    """Regions that saturate in group `k`; none after the last group."""
    if k >= len(flags):
        return []
    saturated = has(flags[k], dqflags.SATURATED) & ~has(flags[k - 1], dqflags.SATURATED)
    return find_ellipses(saturated, rules.min_sat_area)


def _is_snowball(jumps: Ellipse, cores: list[Ellipse], rows: int, edge_size: float) -> bool:
    """Whether there is a core inside, or could be one outside the detector (a square)."""
    low, high = min(jumps.x, jumps.y), max(jumps.x, jumps.y)
    near_edge = low < edge_size or high > max(0, rows - edge_size)
    return near_edge or any(jumps.holds(core.x, core.y) for core in cores)


# --- showers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShowerRules:
    """What a shower is and how much of it to flag; lengths in pixels."""

    extend_snr_threshold: float  # in sigma, of the mean over a ring
    extend_min_area: float
    extend_inner_radius: float  # of the ring
    extend_outer_radius: float  # its width
    extend_ellipse_expand_ratio: float
    max_extended_radius: float  # half the longest axis of what is flagged
    groups_after: int
    most_change: float  # e- that a rate per group may change by flagging
    nframes: int
    minimum_sigclip_groups: int  # integrations that tell the scatter themselves


@dataclass(frozen=True)
class Electrons:
    """Ramps (integrations, groups, rows, columns) in e-, noise of a difference of two reads."""

    data: Floats
    noise: Floats


def flag_showers(
    given: Electrons, groupdq: GroupBits, pixeldq: Bits, rules: ShowerRules
) -> tuple[GroupBits, int]:
    """Flags with showers, and their number.

    A shower is faint in any pixel: differences of groups are averaged in a ring around each pixel, in
    units of their noise. Larger ellipses around regions above the threshold are flagged in that
    group and in those after it; ramps that lose all their groups or whose rate changes more than a
    shower could explain are left as they were.
    """
    integrations, groups = groupdq.shape[:2]
    unusable: Booleans = np.all(has(groupdq, dqflags.DO_NOT_USE), axis=(2, 3))
    if integrations * (groups - 1) - np.count_nonzero(unusable) < FEWEST_DIFFERENCES:
        return groupdq, 0
    differences = np.diff(_quiet(given.data, groupdq), axis=1)
    median, sigma = _scatter(differences, given.noise, rules)
    blind = pixeldq == dqflags.REFERENCE_PIXEL
    ignored = has(pixeldq, FLAGGED) | blind
    flags, found = groupdq.copy(), 0
    for i, ramp in enumerate(groupdq):
        first = int(np.argmin(unusable[i]))
        for k in range(first + 1, groups):
            at = min(k - 1, len(median) - 1)
            with np.errstate(divide="ignore", invalid="ignore"):  # pixels without noise
                ratio = np.abs(differences[i, k - 1] - median[at]) / sigma[at]
            ratio[ignored | has(ramp[k], FLAGGED)] = np.nan
            mean = _ring_mean(ratio, rules.extend_inner_radius, rules.extend_outer_radius)
            showers = find_ellipses(mean > rules.extend_snr_threshold, rules.extend_min_area)
            last = k + rules.groups_after + 1
            growth = rules.extend_ellipse_expand_ratio, 2 * rules.max_extended_radius
            _flag_grown(flags[i, k:last], showers, *growth)
            found += len(showers)
    flags[..., blind] = groupdq[..., blind]
    return _without_harm(given.data, groupdq, flags, rules.most_change), found


def _quiet(data: Floats, groupdq: GroupBits) -> Floats:
    """Data with NaN where a group is unusable, or a jump and nothing else."""
    unquiet = has(groupdq, UNUSABLE) | (groupdq == dqflags.JUMP_DET)
    return np.where(unquiet, np.float32(np.nan), data)


def _scatter(differences: Floats, noise: Floats, rules: ShowerRules) -> tuple[Doubles, Doubles]:
    """Median and deviation of differences: (groups - 1 or 1, rows, columns)."""
    with np.errstate(invalid="ignore"):
        if len(differences) >= rules.minimum_sigclip_groups:
            return _clipped(differences)
        median = _quietly(np.nanmedian, differences.reshape(-1, *differences.shape[2:]))
        return median[None], np.sqrt(np.abs(median) + noise**2 / rules.nframes)[None]


def _clipped(differences: Floats) -> tuple[Doubles, Doubles]:
    """Median and standard deviation over integrations, without what is far from the median."""
    kept = differences.astype(np.float64)
    for _ in range(CLIPPING_ROUNDS):
        median, sigma = _quietly(np.nanmedian, kept), _quietly(np.nanstd, kept)
        outside = np.abs(kept - median) > CLIP * sigma
        if not outside.any():
            break
        kept[outside] = np.nan
    return _quietly(np.nanmedian, kept), _quietly(np.nanstd, kept)


def _quietly(statistic: Callable[..., Doubles], values: Floats | Doubles) -> Doubles:
    """A statistic along the first axis; NaN of nothing is no reason to warn."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return statistic(values, axis=0)


def _ring_mean(image: Floats, inner: float, width: float) -> Doubles:
    """Mean of the finite pixels in a ring around each pixel; what is outside the frame counts as 0.

    NaN where the image is or where hardly anything is finite.
    """
    from scipy import ndimage

    outer = inner + width
    reach = math.ceil(2 * outer) // 2  # the kernel is the smallest that is odd and holds the ring
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    kernel = ((x**2 + y**2 >= inner**2) & (x**2 + y**2 <= outer**2)).astype(np.float64)
    good = np.isfinite(image)
    total = ndimage.convolve(np.where(good, image, 0.0).astype(np.float64), kernel, mode="constant")
    weight = ndimage.convolve(good.astype(np.float64), kernel, mode="constant", cval=1.0)
    good &= weight > LEAST_WEIGHT * kernel.mean()
    mean: Doubles = np.divide(total, weight, out=np.full(image.shape, np.nan), where=good)
    return mean


def _without_harm(
    data: Floats, before: GroupBits, after: GroupBits, most_change: float
) -> GroupBits:
    """`after`, but `before` in ramps without rate or with too different a rate."""
    out = after.copy()
    for i in range(len(data)):
        change = np.abs(_mean_rate(data[i], before[i]) - _mean_rate(data[i], after[i]))
        harmed = ~(change <= most_change)
        out[i][:, harmed] = before[i][:, harmed]
    return out


def _mean_rate(data: Floats, flags: GroupBits) -> Doubles:
    """Mean difference (rows, columns) of groups (groups, rows, columns) without any flag."""
    usable = np.where(has(flags, FLAGGED), np.float32(np.nan), data)
    return _quietly(np.nanmean, np.diff(usable, axis=0))
