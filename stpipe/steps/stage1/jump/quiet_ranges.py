"""What is no jump in each pixel of a long exposure, found before its integrations are searched.

An exposure of many integrations is not in memory as a whole. All samples of some pixels are: they
tell which differences are jumps. The integrations are then flagged some at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has, rows_of
from stpipe.steps.stage1.jump import _kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.engine.chain import Chain
    from stpipe.engine.rectangle import Rectangle
    from stpipe.engine.series import Series
    from stpipe.references.opened import References
    from stpipe.science.arrays import Booleans, Doubles, Floats, GroupBits

__all__ = ["QuietRanges", "StoredRanges", "find_quiet_ranges", "flag_outside"]

JUMPS = dqflags.JUMP_DET | dqflags.DO_NOT_USE


@dataclass(frozen=True)
class QuietRanges:
    """Differences of groups, in e-, that are no jumps."""

    lower: Doubles  # (1 or differences of an integration, rows, columns)
    upper: Doubles
    medians: Doubles  # of all signed differences (rows, columns)
    signed: bool  # the ranges are of differences with their sign

    @classmethod
    def of(cls, planes: Doubles, *, signed: bool) -> QuietRanges:
        """From lower and upper ends and medians (planes, rows, columns), one after the other."""
        count = len(planes) // 2
        return cls(planes[:count], planes[count:-1], planes[-1], signed)


@dataclass(frozen=True)
class StoredRanges:
    """The ranges of all pixels, in a scratch file."""

    planes: Series
    signed: bool

    def part(self, place: Rectangle) -> QuietRanges:
        """Those of a rectangle."""
        return QuietRanges.of(self.planes.section(place.section), signed=self.signed)


def find_quiet_ranges(
    exposure: Chain,
    references: References,
    rules: Mapping[str, float | bool],
    clipping: tuple[float, bool] | None,
    suspects: Booleans,
) -> tuple[StoredRanges, Booleans]:
    """Ranges of all pixels of a long exposure, and groups in which every pixel is a jump.

    Parameters
    ----------
    exposure
        It is spooled.
    references
        GAIN and READNOISE.
    rules
        The members of `JumpRules`.
    clipping
        Standard deviations at which to clip, and whether each difference is compared over
        integrations alone; None for the usual search.
    suspects
        Groups (integrations, groups) in which every pixel may be a jump; without clipping none is.
    """
    by_difference = clipping is not None and clipping[1]
    ranges = exposure.shape[1] - 1 if by_difference else 1
    signed = clipping is not None or bool(rules["single_pass"])
    stored = StoredRanges(exposure.beside_series(2 * ranges + 1), signed)
    gain = references["gain"].data.reshape(1, -1)
    noise2 = np.square(references["readnoise"].data.reshape(1, -1) * gain)
    if clipping is None:
        suspects = np.zeros_like(suspects)
    tiles = zip(exposure.series(), stored.planes.tiles(), strict=True)
    for (pixels, data, groupdq), (_, planes) in tiles:
        here = QuietRanges.of(planes[:, None], signed=signed)
        own = rows_of(gain[:, pixels])
        found = here.lower, here.upper, here.medians
        _kernels.find_quiet(data, groupdq, own, noise2[:, pixels], rules, clipping, *found)
        if suspects.any():
            flags = flag_outside(data, groupdq, own, here)
            suspects = suspects & has(flags, JUMPS).all(axis=(2, 3))
    return stored, suspects


def flag_outside(data: Floats, groupdq: GroupBits, gain: Floats, quiet: QuietRanges) -> GroupBits:
    """Flags (integrations, groups, rows, columns) with JUMP_DET where a difference is out of range.

    Parameters
    ----------
    data, groupdq
        Counts in DN and flags, (integrations, groups, rows, columns); any integrations.
    gain
        e-/DN, (rows, columns).
    quiet
        The ranges of these pixels.
    """
    flags = groupdq.copy()
    _kernels.flag_outside(
        rows_of(data), flags, rows_of(gain), quiet.lower, quiet.upper, quiet.signed
    )
    return flags
