"""The shadow of the bars between shutters, along a slitlet.

Two references tell it, from one pitch of the shutters below the middle of a shutter to one above: of a
shutter whose neighbours are closed, and of one whose neighbours are open.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["shadow_at", "shadow_of"]

CLOSED = "0"


def shadow_of(alone: Floats, between: Floats, state: str) -> Doubles:
    """What bars and closed shutters leave of uniform light along a slitlet.

    Parameters
    ----------
    alone : (2 * pitch + 1, wavelengths) float32
        Of a shutter whose neighbours are closed.
    between : (2 * pitch + 1, wavelengths) float32
        Of a shutter whose neighbours are open.
    state : str
        A character for each shutter from below; "0" is closed.

    Returns
    -------
    ((shutters + 1) * pitch, wavelengths) float64
        The middle of the first shutter is in row `pitch`.
    """
    pitch = len(alone) // 2
    rising, falling = alone[: pitch + 1], alone[pitch:]
    dark = np.full_like(rising, np.nanmin(alone))
    from_middle = {
        (False, False): between[: pitch + 1],
        (False, True): falling,
        (True, False): rising,
        (True, True): dark,
    }
    closed = [False, *(shutter == CLOSED for shutter in state[1:])]
    pieces = [from_middle[pair] for pair in pairwise(closed)]
    shadow = np.zeros(((len(state) + 1) * pitch, alone.shape[1]))
    shadow[: pitch + 1] = rising
    # The last piece begins a row late, as it does in jwst.
    for row, piece in enumerate([*pieces, falling[1:]], start=1):
        first = row * pitch
        shadow[first] = (shadow[first] + piece[0]) / 2
        shadow[first + 1 : first + len(piece)] = piece[1:]
    return shadow


def shadow_at(shadow: Doubles, rows: Doubles, columns: Doubles) -> Floats:
    """The shadow at places between its samples, by bilinear interpolation; beyond its ends the ends.

    Parameters
    ----------
    shadow : (places, wavelengths) float64
    rows, columns : (...) float64
        Places and wavelengths, in samples from 0.

    Returns
    -------
    (...) float32
        NaN where a place or wavelength is.
    """
    from scipy.ndimage import map_coordinates

    known = np.isfinite(rows) & np.isfinite(columns)
    found = np.full(rows.shape, np.nan, dtype=np.float32)
    found[known] = map_coordinates(shadow, [rows[known], columns[known]], order=1, mode="nearest")
    return found
