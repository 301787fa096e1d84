"""The open slits of an exposure of NIRSpec, and where each falls on the detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.errors import NoProduct
from stpipe.science.wcs.nirspec.msa_metafile import ROWS, open_shutters
from stpipe.science.wcs.nirspec.slit_wcs import (
    bounding_box,
    falls_on_detector,
    shutter_entrance,
    slit_wcs,
)
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT, OpenSlit, fixed_slits

if TYPE_CHECKING:
    from pathlib import Path

    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.wcs.nirspec.optics import Optics

__all__ = ["located", "open_slits"]

NOMINAL_SCALES = (1.35, 1.15)  # pitches of shutters in their widths and heights


def open_slits(
    meta: FlatMetadata, msa: CutReference, metafile: Path | None, limits: tuple[float, float]
) -> list[OpenSlit]:
    """The slits that are open: those of the metafile of the shutters, or the fixed ones.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    msa : CutReference
        The MSA reference.
    metafile : Path or None
        None of exposures through the fixed slits.
    limits : (float, float)
        Lowest and highest place along a slit, in its heights.

    Returns
    -------
    list of OpenSlit
    """
    if metafile is None:
        return fixed_slits(meta, limits)

    def scales(quadrant: int) -> tuple[float, float]:
        if quadrant == FIXED_QUADRANT:
            return NOMINAL_SCALES
        table: Any = getattr(msa, f"Q{quadrant}").data
        x = (table["XC"][1] - table["XC"][0]) / table["SIZEX"][0]
        y = (table["YC"][ROWS] - table["YC"][0]) / table["SIZEY"][0]
        return float(x), float(y)

    return open_shutters(metafile, meta, limits, scales)


def located(slits: list[OpenSlit], msa: CutReference, optics: Optics) -> list[tuple[OpenSlit, WCS]]:
    """The slits that fall on the detector, each with its gwcs and the box of its pixels in it.

    Parameters
    ----------
    slits : list of OpenSlit
    msa : CutReference
        The MSA reference.
    optics : Optics

    Returns
    -------
    list of (OpenSlit, gwcs.WCS)

    Raises
    ------
    NoProduct
        When none of them falls on the detector.
    """
    found = []
    for slit in slits:
        entrance = shutter_entrance(slit, msa, optics)
        wcs = slit_wcs(entrance, optics)
        if falls_on_detector(wcs, entrance, optics):
            wcs.bounding_box = bounding_box(wcs, entrance, optics)
            found.append((slit, wcs))
    if not found:
        names = ", ".join(slit.name for slit in slits)
        raise NoProduct(f"none of its slits falls on the detector (open: {names})")
    return found
