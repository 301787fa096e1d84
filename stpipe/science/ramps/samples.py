"""The samples of ramps that are fitted, with their flags and what is known of their noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stpipe.science.arrays import Bits, Floats, GroupBits

__all__ = ["Ramps"]


@dataclass(frozen=True)
class Ramps:
    """What is fitted. Arrays are (integrations, groups, rows, columns) or (rows, columns)."""

    data: Floats  # DN
    groupdq: GroupBits
    original: GroupBits  # the same before single groups were suppressed
    pixeldq: Bits
    gain: Floats  # e-/DN
    readnoise: Floats  # of a difference of two reads, DN
    dark: Floats  # average dark current
    zeroframe: Floats | None  # (integrations, rows, columns), DN
