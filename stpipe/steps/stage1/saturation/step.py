"""Flag groups at or above the saturation level, their neighbours, and groups without signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has, or_where, rows_of
from stpipe.science.ramps.irs2_frames import Interleaving, is_interleaved
from stpipe.steps.stage1.saturation import _kernels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import EllipsisType

    import numpy.typing as npt

    from stpipe.models.protocols import Ramp
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats, GroupBits

__all__ = [
    "SaturationLevel",
    "SaturationStep",
    "clear_zeroframe",
    "dilate",
    "flag_saturation",
    "saturation_level",
]

ABOVE_CONVERTER = 65536.0  # one more than a 16-bit converter can say: never reached


class SaturationStep(RampStep):
    """Flag groups at or above the saturation level, their neighbours, and groups without signal.

    Works on raw DN. From the first saturated group on, all groups of an integration are SATURATED;
    charge spills over, so the pixels around (`n_pix_grow_sat` in each direction) are, too. Groups
    at or below 0 DN are AD_FLOOR and DO_NOT_USE.

    Groups that average several frames may hide saturation of their last frames. With
    `use_readpatt`, a group that precedes a saturated one and is high enough for that is DO_NOT_USE;
    a second test looks for sudden jumps in the second group. GROUPGAP does not enter either test.

    In the zero frame, unusable pixels become 0.

    Of IRS2 readouts the science pixels are looked at, as they lie side by side. There is no look
    backward in time, and a sudden second group is SATURATED with its neighbours.
    """

    alias = "saturation"
    suffix = "saturation"
    status = "saturation"
    reference_types = ("saturation",)
    optional_reference_types = ("superbias",)
    prerequisites = ("meta.exposure.nframes",)
    spec = """
        n_pix_grow_sat = integer(min=0, default=1)  # Pixels by which saturation spreads around
        use_readpatt = boolean(default=True)  # Look for saturation hidden by averaging
    """
    n_pix_grow_sat: int
    use_readpatt: bool

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Flag groups, pass the reference's flags on, clear the zero frame."""
        reference, superbias = references["saturation"], references.get("superbias")
        nframes = ramp.meta.exposure.nframes if self.use_readpatt else 1
        level, dq = saturation_level(reference.data, reference.dq, nframes)
        bias = None if superbias is None else superbias.data
        n_pix_grow_sat = self.n_pix_grow_sat
        if is_interleaved(ramp.data.shape):
            rows = Interleaving.of(ramp.meta).science_rows
            bias = None if bias is None else bias[rows]
            correct_interleaved(ramp, (level, dq), rows, n_pix_grow_sat, bias)
            return
        ramp.groupdq = flag_saturation(ramp.data, ramp.groupdq, level, n_pix_grow_sat, bias)
        ramp.pixeldq = ramp.pixeldq | dq
        if ramp.zeroframe is not None:
            ramp.zeroframe = clear_zeroframe(ramp.zeroframe, level.threshold, n_pix_grow_sat)

    @property
    def halo(self) -> int:  # type: ignore[override] # depends on a parameter
        """Saturation found with its own growth can hide more of it once again as far."""
        return 2 * self.n_pix_grow_sat

    def takes_whole(self, shape: tuple[int, ...]) -> bool:
        """IRS2 readouts, whose neighbours are not neighbours in the file."""
        return is_interleaved(shape)


@dataclass(frozen=True)
class SaturationLevel:
    """Saturation thresholds (rows, columns) in DN, and how frames make up a group."""

    threshold: Floats
    unchecked: Booleans  # pixels whose saturation level is not known
    nframes: int  # frames averaged in a group; 1 turns the tests for hidden saturation off

    def of_average(self, group: int) -> Doubles:
        """Averages of `group` from which its last frame alone may be saturated."""
        last = (group + 1) * self.nframes
        dilution = self.mean_frame(group) / last
        return self.threshold.astype(np.float64) * np.where(self.unchecked, 1.0, dilution)

    def mean_frame(self, group: int) -> float:
        """Mean number (from 1) of the frames in `group`; gaps between groups are not counted."""
        return group * self.nframes + (self.nframes + 1) / 2


def saturation_level(threshold: Floats, dq: Bits, nframes: int) -> tuple[SaturationLevel, Bits]:
    """Thresholds ready to compare with, and the flags of the reference.

    Pixels without a threshold (NaN) get NO_SAT_CHECK; pixels with that flag never saturate.
    """
    unknown = np.isnan(threshold)
    flags = dq | bits_where(unknown, dqflags.NO_SAT_CHECK)
    unchecked = has(flags, dqflags.NO_SAT_CHECK)
    usable = np.where(unchecked, np.float32(ABOVE_CONVERTER), threshold)
    return SaturationLevel(usable, unchecked, nframes), flags


def flag_saturation(
    data: Floats,
    groupdq: GroupBits,
    level: SaturationLevel,
    n_pix_grow_sat: int,
    bias: Floats | None = None,
) -> GroupBits:
    """Flags of all groups with SATURATED, AD_FLOOR and DO_NOT_USE added.

    Parameters
    ----------
    data, groupdq
        Raw counts in DN and flags, (integrations, groups, rows, columns).
    level
        Thresholds (rows, columns).
    n_pix_grow_sat
        Pixels by which flags spread in each direction. Rows nearer than twice this to a cut edge
        of a band are not final.
    bias
        Superbias (rows, columns) in DN, for the test of second groups; None is 0.
    """
    flags = groupdq.copy()
    # Forward in time: what is saturated once stays so; growth starts anew in each group.
    _kernels.flag_reached(rows_of(data), flags, rows_of(level.threshold), n_pix_grow_sat)
    if level.nframes > 1:
        for counts, bits in zip(data, flags, strict=True):
            _flag_hidden(counts, bits, level, n_pix_grow_sat)
            _flag_hidden_in_second(counts, bits, level, bias)
    return flags


def _flag_hidden(
    data: Floats, flags: GroupBits, level: SaturationLevel, n_pix_grow_sat: int
) -> None:
    """Backward in time: groups before a saturated one whose last frames may have been saturated."""
    for group in range(len(data) - 2, -1, -1):
        suspect = _precedes_saturation(flags, group)
        suspect &= ~has(flags[group], dqflags.DO_NOT_USE)
        if suspect.any():
            suspect &= data[group] >= level.of_average(group)
            or_where(flags[group], dilate(suspect, n_pix_grow_sat), dqflags.DO_NOT_USE)


def _flag_hidden_in_second(
    data: Floats, flags: GroupBits, level: SaturationLevel, bias: Floats | None
) -> None:
    """Second groups that rose more than the first promised, before a saturated third."""
    if len(data) <= 2:  # noqa: PLR2004 - the test compares three groups
        return
    at = np.nonzero(_precedes_saturation(flags, 1))
    sudden = _is_sudden(data, level, bias, at)
    flags[1][at] |= sudden.astype(np.uint8) * dqflags.DO_NOT_USE


def _is_sudden(
    data: Floats,
    level: SaturationLevel,
    bias: Floats | None,
    at: tuple[npt.NDArray[np.intp], ...] | EllipsisType,
) -> Booleans:
    """Did the second group rise more than the first promised, which foretold no saturation?"""
    first, second, threshold = data[0][at], data[1][at], level.threshold[at]
    zero = np.float32(0) if bias is None else bias[at]
    expected = (first - zero) / np.float64(level.mean_frame(0)) * (3 * level.nframes) + zero
    sudden = (second - first) > (threshold - first) / level.nframes
    found: Booleans = (expected < threshold) & sudden
    return found


def _precedes_saturation(flags: GroupBits, group: int) -> Booleans:
    return has(flags[group + 1], dqflags.SATURATED) & ~has(flags[group], dqflags.SATURATED)


def correct_interleaved(
    ramp: Ramp,
    reference: tuple[SaturationLevel, Bits],
    rows: Booleans,
    n_pix_grow_sat: int,
    bias: Floats | None,
) -> None:
    """Flag the science `rows` of a ramp; `reference` and `bias` are for those alone."""
    level, dq = reference
    ramp.groupdq = flag_interleaved(ramp.data, ramp.groupdq, level, (rows, n_pix_grow_sat), bias)
    pixeldq = ramp.pixeldq.copy()
    pixeldq[rows] |= dq
    ramp.pixeldq = pixeldq
    if ramp.zeroframe is not None:
        zeroframe = ramp.zeroframe.copy()
        zeroframe[:, rows] = clear_zeroframe(zeroframe[:, rows], level.threshold, n_pix_grow_sat)
        ramp.zeroframe = zeroframe


def flag_interleaved(
    data: Floats,
    groupdq: GroupBits,
    level: SaturationLevel,
    where: tuple[Booleans, int],
    bias: Floats | None,
) -> GroupBits:
    """Flags of the science rows of IRS2 readouts, with SATURATED, AD_FLOOR and DO_NOT_USE added.

    `where` is which rows are science pixels, and by how many pixels flags spread.
    """
    rows, n_pix_grow_sat = where
    flags = groupdq.copy()
    for counts, bits in zip(data, flags, strict=True):
        ever = np.zeros(level.threshold.shape, dtype=bool)
        for k, group in enumerate(counts):
            science = group[rows]
            reached = science >= level.threshold
            if k == 2 and level.nframes > 1:  # noqa: PLR2004 - the third group tells on the second
                sudden = reached & _is_sudden(counts[:2, rows], level, bias, ...)
                bits[1, rows] |= bits_of_groups(dilate(sudden, n_pix_grow_sat), dqflags.SATURATED)
            ever |= dilate(reached, n_pix_grow_sat)
            low = bits_of_groups(science <= 0, dqflags.AD_FLOOR | dqflags.DO_NOT_USE)
            bits[k, rows] |= bits_of_groups(ever, dqflags.SATURATED) | low
    return flags


def bits_of_groups(where: Booleans, bits: int) -> GroupBits:
    """Group flags with `bits` where asked and none elsewhere."""
    return where.view(np.uint8) * np.uint8(bits)


def clear_zeroframe(zeroframe: Floats, threshold: Floats, n_pix_grow_sat: int) -> Floats:
    """Zero frame (integrations, rows, columns), 0 where saturated, near that, or no signal."""
    cleared = zeroframe.copy()
    for frame in cleared:
        frame[(frame <= 0) | dilate(frame >= threshold, n_pix_grow_sat)] = 0
    return cleared


def dilate(mask: Booleans, by: int) -> Booleans:
    """Mask (rows, columns) grown by a square of 2 `by` + 1 pixels on a side."""
    if by == 0 or not mask.any():
        return mask
    grown: Booleans = _kernels.dilate(mask.view(np.uint8), by).view(bool)
    return grown
