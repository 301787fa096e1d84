"""The reference files that calibrate the simulated spectra, without their headers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe import models
from stpipe.demo.json_reference import JsonReference
from stpipe.demo.nirspec import rays, slices, transforms
from stpipe.demo.nirspec.light import WIDTH
from stpipe.demo.nirspec.response import (
    MEGAJANSKY,
    fore_optics,
    passing_nebula,
    passing_star,
    pixel_area,
    sensitivity,
)
from stpipe.demo.nirspec.settings import FIXED
from stpipe.demo.nirspec.shutters import COLUMNS, HEIGHT, PITCH, QUADRANTS, ROWS, shadow
from stpipe.demo.nirspec.shutters import WIDTH as SHUTTER_WIDTH
from stpipe.demo.optics import ARCSEC2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stpipe.demo.nirspec.rays import Doubles
    from stpipe.demo.nirspec.settings import Setting, Slit
    from stpipe.models.protocols import Table

__all__ = ["FLAT_ERROR", "MAKERS", "OPTICS", "fast_variation"]

APERTURE: Final = 8
"""Rows of the aperture of a star."""
ANY_APERTURE: Final = 10
"""Rows of the aperture of a nebula, in the middle of its slit."""
CUTOUT: Final = 23
"""Rows of the wide slit that extract_2d cuts out."""
BACKGROUND: Final = {False: (-11.5, -5.5, 5.5, 11.5), True: (-8.5, -6.5)}
"""Rows from a star between which its background is, in narrow slits and in the wide one, which is half
as high and holds the star above its middle."""
PLACES: Final = np.linspace(-0.6, 0.6, 13)
"""Across and along a slit, widths and heights, of WAVECORR and PATHLOSS references."""
FLAT_ERROR: Final = 0.0005
_PLACE: Final = np.dtype(
    [("NO", np.int32), *((name, np.float64) for name in ("XC", "YC", "SIZEX", "SIZEY"))]
)


# --- optics --------------------------------------------------------------------------------------


def _fpa(setting: Setting) -> models.DataModel:  # noqa: ARG001 - the same in all modes
    reference = models.FPAModel()
    reference.nrs1_model = transforms.focal_plane("NRS1")
    reference.nrs2_model = transforms.focal_plane("NRS2")
    return reference


def _camera(setting: Setting) -> models.DataModel:  # noqa: ARG001
    return _transform(models.CameraModel(), transforms.camera())


def _collimator(setting: Setting) -> models.DataModel:  # noqa: ARG001
    return _transform(models.CollimatorModel(), transforms.collimator())


def _fore(setting: Setting) -> models.DataModel:  # noqa: ARG001
    return _transform(models.FOREModel(), transforms.fore())


def _ote(setting: Setting) -> models.DataModel:  # noqa: ARG001
    return _transform(models.OTEModel(), transforms.telescope())


def _transform(reference: Any, transform: Any) -> models.DataModel:
    reference.model = transform
    found: models.DataModel = reference
    return found


def _disperser(setting: Setting) -> models.DataModel:
    from astropy.modeling.models import Polynomial1D

    reference = models.DisperserModel()
    reference.meta.instrument.grating = setting.optics["meta.instrument.grating"]
    reference.groovedensity = rays.GROOVES
    names = ("theta_x", "theta_y", "theta_z", "tilt_y")
    for name, angle in zip(names, rays.WHEEL, strict=True):
        reference.set(name, angle)
    reference.tilt_x = 0.0
    nominal, _, arcsec = rays.SENSOR
    for axis, slope in (("x", arcsec), ("y", 0.0)):
        sensor = {
            "temperatures": [37.0],
            "tilt_model": Polynomial1D(1, c0=-slope * nominal, c1=slope),
            "unit": "arcsec",
            "zeroreadings": [nominal],
        }
        reference.set(f"gwa_tilt{axis}", sensor)
    return reference


def _wavelengthrange(setting: Setting) -> models.DataModel:
    known = setting.optics
    reference = models.WavelengthrangeModel()
    name = f"{known['meta.instrument.filter']}_{known['meta.instrument.grating']}"
    reference.waverange_selector = [name]
    reference.wavelengthrange = [list(rays.BAND)]
    reference.order = [rays.ORDER]
    return reference


def _msa(setting: Setting) -> models.DataModel:
    from astropy.modeling.models import Identity, Shift

    reference = models.MSAModel()
    for number, (x, y) in QUADRANTS.items() if setting.has_shutters else ():
        quadrant = {"model": Shift(x) & Shift(y), "data": _all_shutters()}
        reference.set(f"Q{number}", quadrant)
    openings = [(hole.x, hole.y, hole.width, hole.height) for hole in FIXED.values()]
    rows = [(number, *opening) for number, opening in enumerate(openings, 1)]
    reference.set("Q5", {"model": Identity(2), "data": np.array(rows, _PLACE)})
    return reference


def _ifuslicer(setting: Setting) -> models.DataModel | None:
    from astropy.modeling.models import Identity

    if not setting.has_slices:
        return None
    reference = models.IFUSlicerModel()
    reference.model = Identity(2)
    rows = [(n + 1, slices.at_slicer(n), 0.0, *slices.SIZE) for n in range(slices.SLICES)]
    reference.set("data", np.array(rows, _PLACE))
    return reference


def _ifupost(setting: Setting) -> models.DataModel | None:
    """From the slicer to the plane of the shutters, without distortion."""
    from astropy.modeling.models import Polynomial2D, Shift

    if not setting.has_slices:
        return None
    reference = models.IFUPostModel()
    for number, slit in enumerate(setting.slits):
        middle = Shift(-slices.at_slicer(number)) & Shift(0.0)
        transform = {
            "linear": middle | _from_slicer() | Shift(slit.opening.x) & Shift(slit.opening.y),
            "xpoly": Polynomial2D(1, c1_0=1.0),
            "ypoly": Polynomial2D(1, c0_1=1.0),
            "xpoly_distortion": Polynomial2D(1),
            "ypoly_distortion": Polynomial2D(1),
        }
        reference.set(f"slice_{number}", transform)
    return reference


def _from_slicer() -> Any:
    from astropy.modeling.models import Scale

    x, y = slices.SCALE
    return Scale(x) & Scale(y)


def _ifufore(setting: Setting) -> models.DataModel | None:
    """From the slicer to where the sky would be in the plane of the shutters."""
    from astropy.modeling.models import Mapping

    if not setting.has_slices:
        return None
    place = Mapping((0, 1), n_inputs=3)
    transform = place | _from_slicer()
    transform.inverse = place | _from_slicer().inverse
    return _transform(models.IFUFOREModel(), transform)


def _all_shutters() -> Table:
    """Places of the shutters of a quadrant from the first one: along x, then along y."""
    found = np.zeros(ROWS * COLUMNS, _PLACE)
    index = np.arange(found.size)
    found["NO"] = index + 1
    found["XC"], found["YC"] = index % ROWS * PITCH[0], index // ROWS * PITCH[1]
    found["SIZEX"], found["SIZEY"] = SHUTTER_WIDTH, HEIGHT
    return found


# --- response ------------------------------------------------------------------------------------


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
        for known in _configurations(setting)
    ]
    reference.phot_table = _table(reference, "phot_table", rows)
    return reference


def _area(setting: Setting) -> models.DataModel:
    model = models.NirspecSlitAreaModel if setting.has_names else models.NirspecMosAreaModel
    reference = models.NirspecIfuAreaModel() if setting.has_slices else model()
    rows = [
        {**_place(slit, setting), "pixarea": pixel_area(slit.opening) / ARCSEC2}
        for slit in setting.slits
    ]
    reference.area_table = _table(reference, "area_table", rows)
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
    return _table(reference, "flat_table", [row])


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


# --- extraction ----------------------------------------------------------------------------------


def _extract1d(setting: Setting) -> JsonReference | None:
    if setting.has_slices:
        return None
    header = {"REFTYPE": "EXTRACT1D", "TELESCOP": "JWST", "INSTRUME": "NIRSPEC"}
    if setting.has_shutters:
        return JsonReference({**header, "apertures": [{"id": "ANY", "extract_width": APERTURE}]})
    target, *_ = setting.slits
    middle = _middle_row(target)
    limits = [middle + row for row in BACKGROUND[target.wide]]
    star = {
        "id": target.name,
        "extract_width": APERTURE,
        "bkg_coeff": [[limit] for limit in limits],
        "bkg_order": 0,
    }
    apertures = [star, {"id": "ANY", "extract_width": ANY_APERTURE}]
    return JsonReference({**header, "apertures": apertures})


def _middle_row(slit: Slit) -> float:
    """0-based: of the rectified image, which reaches a tenth beyond the slit, or of the cutout."""
    if slit.wide:
        return (CUTOUT - 1) / 2
    pixels = 1.1 * slit.opening.height / (rays.PITCH * rays.COLLIMATOR / rays.CAMERA)
    return float(np.ceil(pixels) / 2)


def _apcorr(setting: Setting) -> models.DataModel | None:
    """All light of a star over that within some rows around it."""
    from scipy.special import erf

    if setting.has_slices:
        return None
    shutters = setting.has_shutters
    reference = models.NrsMosApcorrModel() if shutters else models.NrsFsApcorrModel()
    waves, sizes, phases = (
        np.linspace(0.9, 2.0, 12),
        np.arange(3.0, 16.0),
        np.array([0.0, 0.5, 1.0]),
    )
    shape = (sizes.size, waves.size, phases.size)
    # Rows at the edge count in part, but show light of all of their height.
    sigma = np.sqrt(WIDTH**2 + 1 / 3)
    factors = 1 / erf(sizes / 2 / (np.sqrt(2) * sigma))
    rows = [
        {
            **known,
            "wavelength": waves,
            "nelem_wl": waves.size,
            "size": np.tile(sizes[:, np.newaxis], (1, waves.size)),
            "nelem_size": sizes.size,
            "pixphase": phases,
            "apcorr": np.broadcast_to(factors[:, np.newaxis, np.newaxis], shape),
            "apcorr_err": np.zeros(shape),
        }
        for known in _configurations(setting)
    ]
    reference.apcorr_table = _table(reference, "apcorr_table", rows)
    reference.sizeunit = "pixels"
    return reference


def _place(slit: Slit, setting: Setting) -> dict[str, Any]:
    """What rows of pixel areas are selected by."""
    if setting.has_slices:
        return {"slice_id": int(slit.name)}
    if slit.shutters is None:
        return {"slit_id": slit.name}
    place = slit.shutters
    return {"quadrant": place.quadrant, "shutter_x": place.row, "shutter_y": place.main}


def _configurations(setting: Setting) -> list[dict[str, str]]:
    """What rows of a table are selected by: filter, grating, and slits."""
    known = {name: setting.optics[f"meta.instrument.{name}"] for name in ("filter", "grating")}
    if not setting.has_names:
        return [known]
    return [{**known, "slit": slit.name} for slit in setting.slits]


def _table(reference: Any, name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table of the reference's schema, from rows of cells by column."""
    schema = reference.schema.arrays[name].dtype
    cells = {column: np.shape(value) for column, value in rows[0].items()}
    dtype = [(column, schema[column].base, cells.get(column, ())) for column in schema.names]
    table = np.zeros(len(rows), dtype)
    for number, row in enumerate(rows):
        for column, value in row.items():
            table[column][number] = value
    return table


MAKERS: Final[Mapping[str, Callable[[Setting], Any]]] = MappingProxyType(
    {
        "fpa": _fpa,
        "camera": _camera,
        "collimator": _collimator,
        "disperser": _disperser,
        "wavelengthrange": _wavelengthrange,
        "msa": _msa,
        "fore": _fore,
        "ote": _ote,
        "ifuslicer": _ifuslicer,
        "ifupost": _ifupost,
        "ifufore": _ifufore,
        "msaoper": _msaoper,
        "wavecorr": _wavecorr,
        "fflat": _fflat,
        "pathloss": _pathloss,
        "barshadow": _barshadow,
        "photom": _photom,
        "area": _area,
        "extract1d": _extract1d,
        "apcorr": _apcorr,
    }
)
"""How each type of reference file is made."""
OPTICS: Final = tuple(list(MAKERS)[:11])
"""The types that coordinates are made of."""
