"""Data-quality bits: the one table of their names, and the rule that brings references to it.

``pixel`` maps names to the bits of a 32-bit pixel mask, ``group`` to those of the 8-bit mask that
every group of a ramp carries. Each name is also a constant of this module. All values are plain
integers, so that ``groupdq | JUMP_DET`` keeps the dtype of ``groupdq``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from stpipe.errors import ParameterError, did_you_mean

__all__ = [
    "ADJ_OPEN",
    "AD_FLOOR",
    "BAD_REF_PIXEL",
    "CHARGELOSS",
    "DEAD",
    "DO_NOT_USE",
    "DROPOUT",
    "FLUX_ESTIMATED",
    "GOOD",
    "HOT",
    "JUMP_DET",
    "LOW_QE",
    "MSA_FAILED_OPEN",
    "NONLINEAR",
    "NON_SCIENCE",
    "NO_FLAT_FIELD",
    "NO_GAIN_VALUE",
    "NO_LIN_CORR",
    "NO_SAT_CHECK",
    "OPEN",
    "OTHER_BAD_PIXEL",
    "OUTLIER",
    "PERSISTENCE",
    "RC",
    "REFERENCE_PIXEL",
    "RESERVED",
    "SATURATED",
    "TELEGRAPH",
    "UNRELIABLE_BIAS",
    "UNRELIABLE_DARK",
    "UNRELIABLE_FLAT",
    "UNRELIABLE_SLOPE",
    "WARM",
    "excluded",
    "group",
    "pixel",
    "remap",
]

log = logging.getLogger(__name__)

_NAMES: Final = (
    "DO_NOT_USE",
    "SATURATED",
    "JUMP_DET",
    "DROPOUT",
    "OUTLIER",
    "PERSISTENCE",
    "AD_FLOOR",
    "CHARGELOSS",
    "RESERVED",
    "NON_SCIENCE",
    "DEAD",
    "HOT",
    "WARM",
    "LOW_QE",
    "RC",
    "TELEGRAPH",
    "NONLINEAR",
    "BAD_REF_PIXEL",
    "NO_FLAT_FIELD",
    "NO_GAIN_VALUE",
    "NO_LIN_CORR",
    "NO_SAT_CHECK",
    "UNRELIABLE_BIAS",
    "UNRELIABLE_DARK",
    "UNRELIABLE_SLOPE",
    "UNRELIABLE_FLAT",
    "OPEN",
    "ADJ_OPEN",
    "FLUX_ESTIMATED",
    "MSA_FAILED_OPEN",
    "OTHER_BAD_PIXEL",
    "REFERENCE_PIXEL",
)
_PIXEL_ONLY: Final = "OUTLIER"

GOOD: Final = 0

pixel: Final[dict[str, int]] = {"GOOD": GOOD} | {name: 1 << bit for bit, name in enumerate(_NAMES)}
group: Final[dict[str, int]] = {
    name: value for name, value in pixel.items() if value < 1 << 8 and name != _PIXEL_ONLY
}

DO_NOT_USE: Final = pixel["DO_NOT_USE"]
SATURATED: Final = pixel["SATURATED"]
JUMP_DET: Final = pixel["JUMP_DET"]
DROPOUT: Final = pixel["DROPOUT"]
OUTLIER: Final = pixel["OUTLIER"]
PERSISTENCE: Final = pixel["PERSISTENCE"]
AD_FLOOR: Final = pixel["AD_FLOOR"]
CHARGELOSS: Final = pixel["CHARGELOSS"]
RESERVED: Final = pixel["RESERVED"]
NON_SCIENCE: Final = pixel["NON_SCIENCE"]
DEAD: Final = pixel["DEAD"]
HOT: Final = pixel["HOT"]
WARM: Final = pixel["WARM"]
LOW_QE: Final = pixel["LOW_QE"]
RC: Final = pixel["RC"]
TELEGRAPH: Final = pixel["TELEGRAPH"]
NONLINEAR: Final = pixel["NONLINEAR"]
BAD_REF_PIXEL: Final = pixel["BAD_REF_PIXEL"]
NO_FLAT_FIELD: Final = pixel["NO_FLAT_FIELD"]
NO_GAIN_VALUE: Final = pixel["NO_GAIN_VALUE"]
NO_LIN_CORR: Final = pixel["NO_LIN_CORR"]
NO_SAT_CHECK: Final = pixel["NO_SAT_CHECK"]
UNRELIABLE_BIAS: Final = pixel["UNRELIABLE_BIAS"]
UNRELIABLE_DARK: Final = pixel["UNRELIABLE_DARK"]
UNRELIABLE_SLOPE: Final = pixel["UNRELIABLE_SLOPE"]
UNRELIABLE_FLAT: Final = pixel["UNRELIABLE_FLAT"]
OPEN: Final = pixel["OPEN"]
ADJ_OPEN: Final = pixel["ADJ_OPEN"]
FLUX_ESTIMATED: Final = pixel["FLUX_ESTIMATED"]
MSA_FAILED_OPEN: Final = pixel["MSA_FAILED_OPEN"]
OTHER_BAD_PIXEL: Final = pixel["OTHER_BAD_PIXEL"]
REFERENCE_PIXEL: Final = pixel["REFERENCE_PIXEL"]


def excluded(good: str) -> int:
    """The bits that make a pixel unusable, from a text that says which do not.

    Names or numbers, joined by ``+`` or ``,``: ``JUMP_DET+SATURATED`` excludes every other bit,
    ``~DO_NOT_USE+NON_SCIENCE`` these two alone, ``0`` all of them and ``~0`` or ``None`` none.

    Raises
    ------
    ParameterError
        When a word is neither the name of a bit nor a number.
    """
    text = good.strip()
    inverted = text.startswith("~")
    words = [word.strip() for word in text.lstrip("~").strip("() ").replace(",", "+").split("+")]
    if text.lower() in ("none", ""):
        return 0
    if wrong := [word for word in words if word.upper() not in pixel and not word.isdecimal()]:
        raise ParameterError(
            f"DQ bits: {', '.join(map(repr, wrong))} in {good!r} is not the name of a bit"
            f"{did_you_mean(wrong[0].upper(), pixel)}, allowed: numbers, or names such as DO_NOT_USE."
        )
    named = 0
    for word in words:
        named |= int(word) if word.isdecimal() else pixel[word.upper()]
    return named if inverted else ~named & 0xFFFFFFFF


def remap(dq: npt.ArrayLike, dq_def: npt.NDArray[Any] | None) -> npt.NDArray[np.uint32]:
    """Translate the mask of a reference file to the bits of this module.

    Parameters
    ----------
    dq
        Mask of any shape, in the bits that the reference file defines.
    dq_def
        Table DQ_DEF of the reference file with the columns VALUE and NAME (any case). Without
        rows, or None, the mask is in standard bits already.

    Returns
    -------
    numpy.ndarray
        Mask of the same shape, uint32, native byte order. Bits that no row defines are dropped.
    """
    mask = np.asarray(dq).astype(np.uint32, copy=False)
    if dq_def is None or len(dq_def) == 0:
        return mask
    out = np.zeros_like(mask)
    unknown: list[str] = []
    for value, name in zip(_column(dq_def, "VALUE"), _column(dq_def, "NAME"), strict=True):
        bit = pixel.get(_text(name))
        if bit is None:
            unknown.append(_text(name))
        else:
            out |= np.where(mask & np.uint32(value), np.uint32(bit), np.uint32(0))
    if unknown:
        log.warning("Ignored unknown names in the DQ_DEF table: %s", ", ".join(unknown))
    return out


def _column(table: npt.NDArray[Any], name: str) -> Sequence[Any]:
    columns = {column.upper(): column for column in table.dtype.names or ()}
    return cast("Sequence[Any]", table[columns[name]])


def _text(name: bytes | str) -> str:
    text = name.decode("ascii") if isinstance(name, bytes) else name
    return text.strip()
