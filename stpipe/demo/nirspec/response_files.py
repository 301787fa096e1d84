"""Reference files of what light makes of counts, without their headers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe import models
from stpipe.demo.json_reference import JsonReference
from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.response import (
    MEGAJANSKY,
    fore_optics,
    passing_nebula,
    passing_star,
    pixel_area,
    sensitivity,
)
from stpipe.demo.nirspec.shutters import COLUMNS, QUADRANTS, ROWS, shadow
from stpipe.demo.nirspec.tables import configurations, table_of
from stpipe.demo.optics import ARCSEC2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stpipe.demo.nirspec.rays import Doubles
    from stpipe.demo.nirspec.settings import Setting, Slit
    from stpipe.models.protocols import Table

__all__ = ["FLAT_ERROR", "MAKERS", "fast_variation"]

PLACES: Final = np.linspace(-0.6, 0.6, 13)
"""Across and along a slit, widths and heights, of WAVECORR and PATHLOSS references."""
FLAT_ERROR: Final = 0.0005


def _msaoper(setting: Setting) -> JsonReference | None:
    """Shutters that cannot be closed."""
    if not setting.has_shutters:
        return None
    known = {"state": "open", "TA state": "closed", "Internal state": "normal"}
    failed = [{"Q": s.quadrant, "x": s.row, "y": s.main, **known} for s in setting.failed]
    header = {"REFTYPE": "MSAOPER", "TELESCOP": "JWST", "INSTRUME": "NIRSPEC"}
    return JsonReference({**header, "msaoper": failed})


def _wavecorr(setting: Setting) -> models.DataModel | None:
    """By how many pixels light of a place across a slit is beside that of its middle."""
    from astropy.modeling.models import Tabular2D

    if setting.has_slices:
        return None
    reference = models.WaveCorrModel()
    waves = np.linspace(rays.BAND[0] - 1e-8, rays.BAND[1] + 1e-8, 24)
    apertures = []
    for name, slit in _apertures(setting).items():
        column, row = rays.to_pixels(slit.opening, 0.0, 0.0, waves)
        steps = [rays.to_slit(slit.opening, column + end, row)[1] for end in (-0.5, 0.5)]
        shifted = [rays.to_slit(slit.opening, column, row, place)[1] - waves for place in PLACES]
        table = np.transpose(shifted / (steps[1] - steps[0]))
        offset = Tabular2D((waves, PLACES), table, bounds_error=False, fill_value=None)
        apertures.append(
            {
                "aperture_name": name,
                "zero_point_offset": offset,
                "variance": np.zeros(table.shape),
                "width": slit.opening.width,
            }
        )
    reference.apertures = apertures
    return reference


def _apertures(setting: Setting) -> dict[str, Slit]:
    """Slits by the names of their entries in references; all shutters share one."""
    if setting.has_shutters:
        return {"MOS": setting.slits[0]}
    return {slit.name: slit for slit in setting.slits}


def _photom(setting: Setting) -> models.DataModel:
    fixed = setting.has_names
    reference = models.NrsFsPhotomModel() if fixed else models.NrsMosPhotomModel()
    waves = np.linspace(*rays.BAND, 300)
    rows = [
        {
            **known,
            "photmj": MEGAJANSKY,
            "nelem": waves.size,
            "wavelength": waves * 1e6,
            "relresponse": sensitivity(waves),
            "reluncertainty": 0 * waves,
        }
        for known in configurations(setting)
    ]
    reference.phot_table = table_of(reference, "phot_table", rows)
    return reference


def _area(setting: Setting) -> models.DataModel:
    model = models.NirspecSlitAreaModel if setting.has_names else models.NirspecMosAreaModel
    reference = models.NirspecIfuAreaModel() if setting.has_slices else model()
    rows = [
        {**_place(slit, setting), "pixarea": pixel_area(slit.opening) / ARCSEC2}
        for slit in setting.slits
    ]
    reference.area_table = table_of(reference, "area_table", rows)
    return reference


def _fflat(setting: Setting) -> models.DataModel:
    if setting.has_shutters:
        return _quadrants()
    reference = models.NirspecFlatModel()
    reference.flat_table = fast_variation(reference, fore_optics)
    return reference


def _quadrants() -> models.DataModel:
    """The fore optics as shutters see them: all alike."""
    reference = models.NirspecQuadFlatModel()
    planes = np.array([0.9, 2.0])
    for _ in QUADRANTS:
        reference.quadrants.append({})
        part = reference.quadrants[-1]
        part.data = np.ones((planes.size, COLUMNS, ROWS), np.float32)
        part.err = np.full_like(part.data, FLAT_ERROR)
        part.dq = np.zeros(part.data.shape, np.uint32)
        part.wavelength = np.array(planes, part.schema.arrays["wavelength"].dtype)
        part.flat_table = fast_variation(part, fore_optics)
    return reference


def fast_variation(reference: Any, throughput: Callable[[Doubles], Doubles]) -> Table:
    """The table FAST_VARIATION of a flat, for all slits."""
    waves = np.arange(0.9, 2.0, 0.002)
    row = {
        "slit_name": "ANY",
        "nelem": waves.size,
        "wavelength": waves,
        "data": throughput(waves * 1e-6),
        "error": np.full(waves.size, FLAT_ERROR),
    }
    return table_of(reference, "flat_table", [row])


def _pathloss(setting: Setting) -> models.DataModel:
    reference = models.PathlossModel()
    reference.meta.exposure.type = setting.exposure_type
    waves = np.linspace(0.9e-6, 2.0e-6, 5)
    along = {"crpix": 1.0, "crval": waves[0], "cdelt": waves[1] - waves[0]}
    across = {"crpix": 1.0, "crval": PLACES[0], "cdelt": PLACES[1] - PLACES[0]}
    star = np.array([[passing_star(waves, (x, y)) for x in PLACES] for y in PLACES])
    for known in _by_neighbours() if setting.has_shutters else _by_name(setting):
        reference.apertures.append(known)
        aperture = reference.apertures[-1]
        aperture.pointsource_data = np.moveaxis(star, -1, 0).astype(np.float32)
        aperture.uniform_data = passing_nebula(waves).astype(np.float32)
        for axis, steps in (("1", across), ("2", across), ("3", along)):
            for name, value in steps.items():
                aperture.set(f"pointsource_wcs.{name}{axis}", value)
        for name, value in along.items():
            aperture.set(f"uniform_wcs.{name}1", value)
    return reference


def _by_name(setting: Setting) -> list[dict[str, Any]]:
    return [{"name": "IFU"}] if setting.has_slices else [{"name": s.name} for s in setting.slits]


def _by_neighbours() -> list[dict[str, Any]]:
    return [{"name": f"MOS1x{count}", "shutters": count} for count in (1, 3)]


def _barshadow(setting: Setting) -> models.DataModel | None:
    """Along y from a pitch below the middle of a shutter to one above, at any wavelength."""
    if not setting.has_shutters:
        return None
    reference = models.BarshadowModel()
    along, waves = np.linspace(-1, 1, 1001), np.linspace(0.8e-6, 2.0e-6, 25)
    each = np.ones(waves.size)
    reference.data1x1 = np.outer(shadow(along, alone=True), each).astype(np.float32)
    reference.data1x3 = np.outer(shadow(along), each).astype(np.float32)
    reference.crval1, reference.cdelt1 = waves[0], waves[1] - waves[0]
    reference.crval2, reference.cdelt2 = along[0], along[1] - along[0]
    return reference


def _place(slit: Slit, setting: Setting) -> dict[str, Any]:
    """What rows of pixel areas are selected by."""
    if setting.has_slices:
        return {"slice_id": int(slit.name)}
    if slit.shutters is None:
        return {"slit_id": slit.name}
    place = slit.shutters
    return {"quadrant": place.quadrant, "shutter_x": place.row, "shutter_y": place.main}


MAKERS: Final[Mapping[str, Callable[[Setting], Any]]] = MappingProxyType(
    {
        "msaoper": _msaoper,
        "wavecorr": _wavecorr,
        "fflat": _fflat,
        "pathloss": _pathloss,
        "barshadow": _barshadow,
        "photom": _photom,
        "area": _area,
    }
)
"""How each type of reference file is made."""
