"""NIRSpec's fluxes: the area of its pixels in slits, shutters and slices, and its point sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.science.exposure_types import NARROW_SLITS
from stpipe.science.flux import ARCSEC2, relative_response
from stpipe.science.wcs.wavelengths import uncorrected_wavelengths, wavelengths
from stpipe.steps.stage2.photom.entries import matching

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Booleans, Doubles
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["attach_both", "has_both", "has_slices", "is_point", "pixel_area", "slices_conversion"]

# Column of an AREA table, and the name of what it is compared with.
_SHUTTER = {"quadrant": "quadrant", "shutter_x": "xcen", "shutter_y": "ycen"}
_SLIT = {"slit_id": "name"}


def is_point(meta: FlatMetadata, wanted: str | None) -> bool:
    """Whether a slit has a point source, `wanted` or by its SRCTYPE."""
    if meta["meta.exposure.type"] not in NARROW_SLITS:
        return False
    kind = wanted or meta.get("source_type") or meta.get("meta.target.source_type")
    return kind == "POINT"


def has_slices(meta: FlatMetadata) -> bool:
    """Whether an exposure is of the integral-field unit."""
    return meta.get("meta.exposure.type") == "NRS_IFU"


def has_both(meta: FlatMetadata) -> bool:
    """Whether the conversion of a uniform source is wanted beside that of the point source."""
    return meta.get("meta.exposure.type") == "NRS_FIXEDSLIT"


def pixel_area(area: CutReference | None, meta: FlatMetadata, step: str) -> float:
    """Solid angle of a pixel in sr: of a slit, of a shutter, or the mean of the slices.

    Raises
    ------
    InputError
        When the AREA reference does not have it.
    """
    table = None if area is None else area.area_table
    if table is None:
        raise InputError(
            f"{step}: {meta.get('meta.filename')} needs an AREA reference, and none applies. Give one "
            "with override_area, or leave the step out with skip=True."
        )
    if has_slices(meta):
        return float(np.nanmean(table["pixarea"])) * ARCSEC2
    keys = _SHUTTER if "quadrant" in (table.dtype.names or ()) else _SLIT
    asked = {column: meta.get(name) for column, name in keys.items()}
    found = matching(table, asked)
    if not len(found):
        wanted = ", ".join(f"{column} {value}" for column, value in asked.items())
        raise InputError(
            f"{step}: the AREA reference has no pixel area for {wanted}, and without one there is no "
            "surface brightness. Give another with override_area."
        )
    return float(table["pixarea"][found[0]]) * ARCSEC2


def attach_both(slit: Any, conversion: Doubles, row: np.void) -> None:
    """Attach the conversions of a point and of a uniform source, MJy and MJy/sr of 1 DN/s.

    The wavelengths of a uniform source are not corrected for the place of the source in the slit.
    """
    response = relative_response(uncorrected_wavelengths(slit), row)
    uniform = float(row["photmj"]) / slit.meta.photometry.pixelarea_steradians
    slit.photom_point = conversion.astype(np.float32)
    slit.photom_uniform = (uniform * np.nan_to_num(response)).astype(np.float32)


def slices_conversion(
    image: Spectral, row: np.void, loss: float, table: Table
) -> tuple[Doubles, Booleans]:
    """MJy/sr of 1 DN/s for each pixel of the slices, and 1 outside; and which are outside.

    Beyond the wavelengths of the reference the conversion is that of their nearer end.
    """
    waves = wavelengths(image)
    slices = image.regions
    outside = (slices == 0) | np.isnan(waves)
    areas = np.ones(int(slices.max()) + 1)
    areas[1 + table["slice_id"]] = table["pixarea"]
    conversion = relative_response(waves, row, beyond=None) * (float(row["photmj"]) / loss)
    conversion = conversion / (areas[slices] * ARCSEC2)
    return np.where(outside, 1.0, conversion), outside
