"""The optics of `rays`, and those before the slits, as the transforms that reference files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe.demo.nirspec import rays
from stpipe.demo.optics import APERTURES, bent, turn

if TYPE_CHECKING:
    from stpipe.demo.nirspec.rays import Opening

__all__ = ["SKY_SCALE", "camera", "collimator", "focal_plane", "fore", "telescope", "v2v3"]

SKY_SCALE: Final = 0.717
"""Degrees on the sky per m in the plane of the shutters."""
COLOUR: Final = 30.0
"""How much more the fore optics magnify, per m of wavelength."""
OTHER_DETECTOR: Final = (0.0382, 0.0184)
"""Place of the first pixel of NRS2, whose axes run the other way, m."""


def focal_plane(detector: str) -> Any:
    """0-based pixels of NRS1 or NRS2 to places in m."""
    from astropy.modeling.models import Scale, Shift

    first = detector == "NRS1"
    pitch = rays.PITCH if first else -rays.PITCH
    x, y = rays.CORNER if first else OTHER_DETECTOR
    return Scale(pitch) & Scale(pitch) | Shift(x) & Shift(y)


def camera() -> Any:
    """Places at the detectors in m to tangents of directions."""
    from astropy.modeling.models import Scale

    return Scale(1 / rays.CAMERA) & Scale(1 / rays.CAMERA) | bent(*rays.BENDS)


def collimator() -> Any:
    """Tangents of directions to places in the plane of the shutters, m."""
    from astropy.modeling.models import Scale

    return Scale(rays.COLLIMATOR) & Scale(rays.COLLIMATOR)


def fore() -> Any:
    """Places in the plane of the shutters and the wavelength, all in m, to degrees in the focus."""
    from astropy.modeling.models import Mapping, Polynomial1D

    scale = Mapping((2,)) | Polynomial1D(1, c0=SKY_SCALE, c1=SKY_SCALE * COLOUR)
    x, y = Mapping((0,), n_inputs=3), Mapping((1,), n_inputs=3)
    each = Mapping((0, 1, 2, 0, 1, 2))
    transform = each | (x * scale) & (y * scale)
    transform.inverse = each | (x / scale) & (y / scale)
    return transform


def telescope() -> Any:
    """Degrees in the focus to V2, V3 in arcsec."""
    from astropy.modeling.models import AffineTransformation2D

    aperture = APERTURES["NIRSPEC"]
    return AffineTransformation2D(3600 * turn(aperture), translation=(aperture.v2, aperture.v3))


def v2v3(opening: Opening, wavelength: float = 2e-6) -> tuple[float, float]:
    """V2, V3 in arcsec of the centre of a slit, at a wavelength in m."""
    aperture = APERTURES["NIRSPEC"]
    scale = 3600 * SKY_SCALE * (1 + COLOUR * wavelength)
    v2, v3 = turn(aperture) @ np.array([opening.x, opening.y]) * scale
    return float(aperture.v2 + v2), float(aperture.v3 + v3)
