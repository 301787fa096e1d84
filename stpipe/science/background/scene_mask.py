"""Which pixels of an exposure see nothing but background, from draft rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.background.levels import Clipping, clip_to_background

if TYPE_CHECKING:
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Bits, Booleans, Floats

__all__ = ["background_mask", "non_science"]


def background_mask(rates: Floats, clipping: Clipping | None, unusable: Booleans) -> Booleans:
    """Pixels of `rates` that are background.

    Parameters
    ----------
    rates : ([integrations,] rows, columns) float32, DN/s
        NaN and exactly 0 are no background.
    clipping : Clipping or None
        What is too far from the background; None: nothing is.
    unusable : ([integrations,] rows, columns) bool
        Pixels that are no background in any case.

    Returns
    -------
    ([integrations,] rows, columns) bool
    """
    mask: Booleans = ~(np.isnan(rates) | (rates == 0) | unusable)
    if clipping is not None:
        planes = zip(rates, mask, strict=True) if rates.ndim > 2 else [(rates, mask)]  # noqa: PLR2004 - a cube
        for image, plane in planes:
            clip_to_background(image, plane, clipping)
    return mask


def non_science(dq: Bits, flat: CutReference) -> Booleans:
    """Pixels that the flags of rates and of the flat field keep from science.

    Parameters
    ----------
    dq : ([integrations,] rows, columns) uint32
        Of the rates.
    flat : CutReference
        The FLAT reference: `data` and `dq` (rows, columns).

    Returns
    -------
    ([integrations,] rows, columns) bool
    """
    bits = flat.dq.copy()
    unknown = np.isnan(flat.data) | (flat.data == 0) | has(bits, dqflags.NO_FLAT_FIELD)
    bits[unknown] |= dqflags.DO_NOT_USE
    return has(dq | bits, dqflags.DO_NOT_USE | dqflags.NON_SCIENCE)
