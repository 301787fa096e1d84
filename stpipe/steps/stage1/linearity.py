"""Correct for the detector's response growing less than its charge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has, rows_of
from stpipe.science.ramps import _pointwise

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.models.protocols import Ramp
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Bits, Floats, GroupBits, Item

__all__ = [
    "LinearityStep",
    "Polynomials",
    "correct_groups",
    "correct_reads",
    "correct_zeroframe",
    "polynomial",
]


class LinearityStep(RampStep):
    """Correct for the detector's response growing less than its charge.

    A polynomial of the counts, one for each pixel, is applied to every group that is not SATURATED.
    Where the reference has no usable polynomial, counts stay as they are and PIXELDQ tells it with
    NO_LIN_CORR.

    When the reference also holds the inverse polynomials and groups average several frames, the
    frames of each group are predicted from the slope of the integration, corrected one by one and
    averaged again (read-level correction), unless the exposure lists explicit read times.
    """

    alias = "linearity"
    suffix = "linearity"
    status = "linearity"
    halo = 0
    flags = 0
    reference_types = ("linearity",)
    prerequisites = ("meta.exposure.nframes",)

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Apply the polynomials of the reference to groups and zero frame."""
        reference, exposure = references["linearity"], ramp.meta.exposure
        forward = Polynomials.of(reference.coeffs, reference.dq)
        flags = reference.dq | forward.flags
        if reference.inv_coeffs is None or exposure.nframes == 1 or exposure.read_times:
            ramp.data = correct_groups(ramp.data, ramp.groupdq, forward.coeffs)
        else:
            inverse = Polynomials.of(reference.inv_coeffs, reference.dq)
            flags = flags | inverse.flags
            pair = (forward.coeffs, inverse.coeffs)
            ramp.data = correct_reads(ramp.data, ramp.groupdq, pair, exposure.nframes)
        ramp.pixeldq = ramp.pixeldq | flags
        if ramp.zeroframe is not None:
            ramp.zeroframe = correct_zeroframe(ramp.zeroframe, forward.coeffs)


@dataclass(frozen=True)
class Polynomials:
    """Coefficients (terms, rows, columns), and NO_LIN_CORR in (rows, columns) without any."""

    coeffs: Floats
    flags: Bits

    @classmethod
    def of(cls, coeffs: Floats, dq: Bits) -> Self:
        """Coefficients of a reference; identity where flagged, NaN, or without a linear term."""
        bad = has(dq, dqflags.NO_LIN_CORR) | np.isnan(coeffs).any(axis=0) | (coeffs[1] == 0)
        flags = bits_where(bad, dqflags.NO_LIN_CORR)
        if not bad.any():
            return cls(coeffs, flags)
        identity = np.zeros((len(coeffs), 1, 1), dtype=coeffs.dtype)
        identity[1] = 1
        return cls(np.where(bad, identity, coeffs), flags)


def polynomial(coeffs: Floats, x: Floats, out: Floats | None = None) -> Floats:
    """Sum of `coeffs[n] * x**n` by Horner's rule; `coeffs` is (terms, rows, columns)."""
    result: Floats = np.multiply(coeffs[-1], x, out=out)
    for term in coeffs[-2:0:-1]:
        result += term
        result *= x
    result += coeffs[0]
    return result


def correct_groups(data: Floats, groupdq: GroupBits, coeffs: Floats) -> Floats:
    """Data (integrations, groups, rows, columns) in DN, corrected except where SATURATED."""
    corrected = np.empty(data.shape, np.float32)
    _pointwise.correct_groups(rows_of(data), rows_of(groupdq), rows_of(coeffs), corrected)
    return corrected


def correct_zeroframe(zeroframe: Floats, coeffs: Floats) -> Floats:
    """Zero frame (integrations, rows, columns), corrected; 0 means no data and stays."""
    return np.where(zeroframe == 0, zeroframe, polynomial(coeffs, zeroframe))


def correct_reads(
    data: Floats, groupdq: GroupBits, polynomials: tuple[Floats, Floats], nframes: int
) -> Floats:
    """Data corrected read by read, for groups that average `nframes` consecutive reads.

    Parameters
    ----------
    data, groupdq
        Counts in DN and flags, (integrations, groups, rows, columns).
    polynomials
        Coefficients (terms, rows, columns) from measured to linear counts, and back.
    nframes
        Reads in a group. Groups without the gap between them, as in the calibration of the
        polynomials.
    """
    corrected = np.empty_like(data)
    for counts, flags, out in zip(data, groupdq, corrected, strict=True):
        start, rate = _straight_line(counts, flags, polynomials[0], nframes)
        for group, measured in enumerate(counts):
            # Reads counted from the mean of the first group's.
            since = group * nframes + np.arange(1, nframes + 1) - (nframes + 1) / 2
            reads = start + rate * since[:, None, None]
            out[group] = _correct_group(measured, reads, polynomials)
            saturated = has(flags[group], dqflags.SATURATED)
            if saturated.any():
                np.copyto(out[group], measured, where=saturated)
    return corrected


def _straight_line(
    data: Floats, groupdq: GroupBits, coeffs: Floats, nframes: int
) -> tuple[Floats, Floats]:
    """Linear counts of the first group and their growth in a read, from first to last good group.

    The last group before saturation may be touched by it and is left out.
    """
    saturated = has(groupdq, dqflags.SATURATED)
    usable = np.count_nonzero(~saturated, axis=0) - 1
    last = np.maximum(usable, 2) - 1
    ends = correct_groups(
        np.stack([data[0], _pick(data, last)])[None],
        np.stack([groupdq[0], _pick(groupdq, last)])[None],
        coeffs,
    )[0]
    return ends[0], (ends[1] - ends[0]) / (last * float(nframes))


def _pick(cube: npt.NDArray[Item], group: npt.NDArray[np.intp]) -> npt.NDArray[Item]:
    picked: npt.NDArray[Item] = np.take_along_axis(cube, group[None], axis=0)[0]
    return picked


def _correct_group(
    measured: Floats, linear_reads: Floats, polynomials: tuple[Floats, Floats]
) -> Floats:
    forward, inverse = polynomials
    reads = np.stack([polynomial(inverse, read) for read in linear_reads])
    reads += measured - reads.mean(axis=0)
    mean: Floats = np.stack([polynomial(forward, read) for read in reads]).mean(axis=0)
    return mean
