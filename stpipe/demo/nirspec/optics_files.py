"""Reference files of the optics, without their headers: what coordinates are made of."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe import models
from stpipe.demo.nirspec import rays, slices, transforms
from stpipe.demo.nirspec.settings import FIXED
from stpipe.demo.nirspec.shutters import COLUMNS, HEIGHT, PITCH, QUADRANTS, ROWS
from stpipe.demo.nirspec.shutters import WIDTH as SHUTTER_WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stpipe.demo.nirspec.settings import Setting
    from stpipe.models.protocols import Table

__all__ = ["MAKERS"]

_PLACE: Final = np.dtype(
    [("NO", np.int32), *((name, np.float64) for name in ("XC", "YC", "SIZEX", "SIZEY"))]
)


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
    }
)
"""How each type of reference file is made."""
