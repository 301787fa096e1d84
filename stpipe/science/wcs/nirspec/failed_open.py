"""Shutters of NIRSpec that failed open, and the pixels that their light falls on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import ReferenceMissing
from stpipe.science.wcs.nirspec import frames
from stpipe.science.wcs.nirspec.ifu import DETECTOR
from stpipe.science.wcs.nirspec.msa_metafile import ROWS
from stpipe.science.wcs.nirspec.optics import Optics
from stpipe.science.wcs.nirspec.slit_wcs import lit_pixels, shutter_entrance, slit_wcs
from stpipe.science.wcs.nirspec.slits import OpenSlit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans

__all__ = ["REFERENCES", "pixels_of", "shutters_of"]

# What the light of a shutter is traced with.
REFERENCES = ("fpa", "camera", "collimator", "disperser", "wavelengthrange", "msa")
STATES = ("state", "TA state", "Internal state")  # each of which may be the one that is open
HALF = 0.5  # height of a shutter, from its centre
LINES, QUADRANTS = 171, 4  # shutters of a quadrant along y; quadrants


def shutters_of(reference: Reference) -> list[OpenSlit]:
    """The shutters that an MSAOPER reference lists as open.

    Parameters
    ----------
    reference : Reference
        Its file, in JSON, has a list `msaoper` of shutters with their quadrant `Q`, their place in it,
        `x` and `y` from 1, and three states.

    Returns
    -------
    list of OpenSlit
        Named by their order; none when no reference applies (N/A).

    Raises
    ------
    ReferenceMissing
        When the file is no such reference.
    """
    path = reference.path
    if path is None:
        return []
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["msaoper"]
        shutters = [shutter for shutter in listed if _is_open(shutter)]
        return [_slit(number, shutter) for number, shutter in enumerate(shutters, 1)]
    except (KeyError, TypeError, ValueError) as error:
        raise ReferenceMissing(
            f"{path} is no MSAOPER reference ({type(error).__name__}: {error}), allowed: JSON with a "
            f"list `msaoper` of shutters with Q, x, y, {', '.join(STATES)}."
        ) from error


def _is_open(shutter: dict[str, Any]) -> bool:
    return "open" in [shutter[state] for state in STATES]


def _slit(number: int, shutter: dict[str, Any]) -> OpenSlit:
    quadrant, x, y = (int(shutter[name]) for name in ("Q", "x", "y"))
    at = x + (y - 1) * ROWS
    if not (1 <= x <= ROWS and 1 <= y <= LINES and 1 <= quadrant <= QUADRANTS):
        raise ValueError(f"there is no shutter Q {quadrant}, x {x}, y {y}")
    return OpenSlit(f"{number}", at - 1, quadrant, -HALF, HALF, shutter_id=at, xcen=x, ycen=y)


def pixels_of(
    shutters: list[OpenSlit], meta: FlatMetadata, references: Mapping[str, CutReference]
) -> Booleans:
    """The pixels that light of any of the shutters falls on.

    Parameters
    ----------
    shutters : list of OpenSlit
    meta : mapping
        Metadata of the exposure by dotted name.
    references : mapping of CutReference
        Those of `REFERENCES`.

    Returns
    -------
    (2048, 2048) bool
        From the first pixel of the exposure's array.
    """
    optics = Optics.of(meta, references, ((frames.shutters(), None),))
    found = np.zeros(DETECTOR, dtype=bool)
    for shutter in shutters:
        entrance = shutter_entrance(shutter, references["msa"], optics)
        wcs = slit_wcs(entrance, optics)
        found[lit_pixels(wcs, entrance, optics)] = True
    return found
