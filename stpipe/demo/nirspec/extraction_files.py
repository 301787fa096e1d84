"""Reference files of where spectra are extracted, without their headers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe import models
from stpipe.demo.json_reference import JsonReference
from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.light import WIDTH
from stpipe.demo.nirspec.tables import configurations, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stpipe.demo.nirspec.settings import Setting, Slit

__all__ = ["MAKERS"]

APERTURE: Final = 8
"""Rows of the aperture of a star."""
ANY_APERTURE: Final = 10
"""Rows of the aperture of a nebula, in the middle of its slit."""
CUTOUT: Final = 23
"""Rows of the wide slit that extract_2d cuts out."""
BACKGROUND: Final = {False: (-11.5, -5.5, 5.5, 11.5), True: (-8.5, -6.5)}
"""Rows from a star between which its background is, in narrow slits and in the wide one, which is half
as high and holds the star above its middle."""


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
        for known in configurations(setting)
    ]
    reference.apcorr_table = table_of(reference, "apcorr_table", rows)
    reference.sizeunit = "pixels"
    return reference


MAKERS: Final[Mapping[str, Callable[[Setting], Any]]] = MappingProxyType(
    {
        "extract1d": _extract1d,
        "apcorr": _apcorr,
    }
)
"""How each type of reference file is made."""
