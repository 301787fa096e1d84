"""Masks in the bits of a reference file's own table DQ_DEF; `dqflags.remap` goes the other way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stpipe.errors import ValidationError
from stpipe.models import dqflags
from stpipe.models.storage.arrays import Array

__all__ = ["encode"]


def encode(mask: Array, table: Array) -> npt.NDArray[np.uint32]:
    """Translate a mask of standard bits to the bits that ``table`` (VALUE, NAME) defines.

    Raises
    ------
    ValidationError
        When the mask has a flag that the table does not name.
    """
    if not len(table):
        return np.asarray(mask, np.uint32)
    encoded = np.zeros(mask.shape, np.uint32)
    known = 0
    for row in table:
        bit = dqflags.pixel.get(_text(row["NAME"]), 0)
        encoded[(mask & np.uint32(bit)) != 0] |= np.uint32(row["VALUE"])
        known |= bit
    left = int(np.bitwise_or.reduce(mask, axis=None)) & ~known
    if left:
        names = [name for name, bit in dqflags.pixel.items() if bit & left]
        raise ValidationError(
            f"dq (extension DQ) has the flags {', '.join(names)}, which the table DQ_DEF does not "
            "name; add rows to dq_def, or set it to None to store standard bits."
        )
    return encoded


def _text(name: object) -> str:
    return name.decode("ascii", "replace").strip() if isinstance(name, bytes) else str(name).strip()
