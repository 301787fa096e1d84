"""Where the source of MIRI's slit is, and what its light is multiplied by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import ReferenceMissing
from stpipe.science.mosaics.slit_grid import slit_scale
from stpipe.science.spectra.path_loss import at_place, axis_of
from stpipe.science.spectra.sampling import on_pixels
from stpipe.science.wcs.lrs import reference_point

if TYPE_CHECKING:
    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Floats

__all__ = ["correction", "place_in_slit"]

CENTRE = (0.0, 0.0)
ARCSEC = 3600  # per degree


def place_in_slit(wcs: WCS, meta: FlatMetadata, offset: float) -> tuple[float, float]:
    """Where the target is, in pixels from the centre of the slit along and across it.

    That is where targ_centroid found it, or else where the pointing has it.

    Parameters
    ----------
    wcs
        Of the exposure.
    meta
        Metadata by dotted name, with the target's position (SRCXPOS and SRCYPOS, or TARG_RA and
        TARG_DEC).
    offset
        arcsec that are added across the slit.
    """
    x, y = reference_point(wcs)
    centre = tuple(map(float, wcs.get_transform("detector", "world")(x, y)))
    found: Any = (meta.get("source_xpos"), meta.get("source_ypos"))
    if None in found:
        target = (meta["meta.target.ra"], meta["meta.target.dec"], centre[2])
        found = wcs.get_transform("world", "detector")(*target)
    direction = meta["meta.wcsinfo.dispersion_direction"]
    across = offset / (slit_scale(wcs, direction, centre) * ARCSEC) if offset else 0.0
    return float(found[0] - x), float(found[1] - y) + across


def correction(
    reference: CutReference, place: tuple[float, float], waves: Floats
) -> tuple[Floats, bool]:
    """What pixels (rows, columns) are multiplied by, and whether the reference has the place.

    A source beyond the places that the reference has is taken to be in the centre of the slit.
    """
    table, info = reference.pathloss_table, reference.meta.wcsinfo
    axes = axis_of(info, 1), axis_of(info, 2)
    there = at_place(table["pathloss"], axes, place)
    factors = at_place(table["pathloss"], axes, CENTRE) if there is None else there
    if factors is None:
        raise ReferenceMissing("the pathloss reference does not have the centre of the slit")
    order = np.argsort(table["wavelength"], kind="stable")
    known = table["wavelength"][order].astype(np.float64)
    return on_pixels(waves, known, factors[order]), there is not None
