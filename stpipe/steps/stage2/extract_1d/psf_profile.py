"""What optimal extraction fits: profiles of a PSF reference, where the source should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import ReferenceMissing
from stpipe.science.dispersion import HORIZONTAL, turned
from stpipe.science.spectra.point_spread import PointSpread
from stpipe.steps.stage2.extract_1d.source_position import find_nod, find_nod_in_slit

if TYPE_CHECKING:
    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles

__all__ = ["find_spread", "nod_distance"]

ANY = {"ANY", "NONE"}
NODS = {"ALONG-SLIT-NOD", "2-POINT-NOD"}
CLOSEST = 2.0  # pixels between a source and its subtracted image that can be told apart


def find_spread(reference: CutReference, name: str, direction: int) -> PointSpread:
    """The first aperture of a PSF reference that is for a slit, or for any.

    Raises
    ------
    ReferenceMissing
        When it has none for the slit, or one that is not complete.
    """
    apertures = [(str(each.get("name")).upper(), each) for each in reference.apertures]
    found = next((each for known, each in apertures if known in {*ANY, name.upper()}), None)
    if found is None:
        raise ReferenceMissing(
            f"reference file {reference.path} has no PSF for slit {name}; it has "
            f"{', '.join(known for known, _ in apertures) or 'none'}. Give another override_psf, "
            "or extraction_type=box."
        )
    centre = found.get("center_row" if direction == HORIZONTAL else "center_col")
    light = turned(found.data, direction)
    samples, wavelength = found.get("subpix"), found.wave
    if centre is None or not samples or light.shape[:1] != wavelength.shape:
        raise ReferenceMissing(
            f"reference file {reference.path}: its PSF for slit {name} has {light.shape[0]} profiles "
            f"for {wavelength.size} wavelengths, SUBPIX {samples} and centre {centre}; needed are a "
            "profile for each wavelength, the samples of a pixel and the sample of the centre. Give "
            "another override_psf, or extraction_type=box."
        )
    return PointSpread(light, wavelength, float(samples), float(centre))


def nod_distance(wcs: WCS, meta: FlatMetadata, trace: Doubles) -> float | None:
    """How many pixels above its subtracted image a source is; None without one that can be told apart.

    There is one where the other position of a nod has been subtracted as background.
    """
    subtracted = meta.get("meta.cal_step.bkg_subtract") == "COMPLETE"
    if not subtracted or meta.get("meta.dither.primary_type") not in NODS:
        return None
    direction: Any = meta["meta.wcsinfo.dispersion_direction"]
    find = find_nod_in_slit if direction == HORIZONTAL else find_nod
    image = find(wcs, meta)
    along = wcs.bounding_box.bounding_box(order="F")[direction - 1]
    distance = float(trace[round(sum(along) / 2)]) - (np.nan if image is None else image)
    return distance if abs(distance) >= CLOSEST else None
