"""From the telescope's frame (V2, V3) to the sky, as models of astropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model

    from stpipe.models.protocols import FlatMetadata

__all__ = ["MOTION", "NEEDED", "POINTING", "aberration", "dithered_v2v3", "sky_from_v2v3", "to_sky"]

POINTING = ("v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref")
NEEDED = tuple(f"meta.wcsinfo.{name}" for name in POINTING)
# What coordinates depend on beside the pointing, where it is known.
MOTION = (
    "meta.dither.x_offset",
    "meta.dither.y_offset",
    "meta.velocity_aberration.scale_factor",
    "meta.wcsinfo.v3yangle",
    "meta.wcsinfo.velosys",
    "meta.wcsinfo.vparity",
)


def sky_from_v2v3(info: Mapping[str, float]) -> Model:
    """Transform from V2, V3 in arcsec to right ascension and declination in degrees.

    The direction of (V2, V3) is turned by Rz(-V2_REF), Ry(V3_REF), Rx(-ROLL_REF), Ry(-DEC_REF) and
    Rz(RA_REF), in this order, so that (V2_REF, V3_REF) comes to lie at (RA_REF, DEC_REF) with V3 at
    the position angle ROLL_REF.

    Parameters
    ----------
    info : mapping of float
        V2_REF and V3_REF in arcsec, ROLL_REF, RA_REF and DEC_REF in degrees, by lower-case name.

    Returns
    -------
    astropy.modeling.Model
    """
    from astropy.modeling.models import RotationSequence3D, Scale
    from gwcs.geometry import CartesianToSpherical, SphericalToCartesian

    v2, v3 = info["v2_ref"] / 3600, info["v3_ref"] / 3600
    angles = [v2, -v3, info["roll_ref"], info["dec_ref"], -info["ra_ref"]]
    degrees = Scale(1 / 3600) & Scale(1 / 3600)
    turn = RotationSequence3D(angles, axes_order="zyxyz")
    sky = SphericalToCartesian(wrap_lon_at=180) | turn | CartesianToSpherical(wrap_lon_at=360)
    transform = degrees | sky
    transform.name = "v23tosky"
    return transform


def aberration(scale: float | None, v2_ref: float, v3_ref: float) -> Model:
    """Transform that takes the differential aberration of the moving telescope out of V2, V3.

    Parameters
    ----------
    scale : float or None
        VA_SCALE, by which distances from (V2_REF, V3_REF) are stretched; None does nothing.
    v2_ref, v3_ref : float, arcsec

    Returns
    -------
    astropy.modeling.Model
        From arcsec to arcsec.
    """
    from astropy.modeling.models import Identity, Scale, Shift

    if scale is None or scale == 1:
        return Identity(2)
    stretch = Scale(scale, name="dva_scale_v2") & Scale(scale, name="dva_scale_v3")
    stretch |= Shift((1 - scale) * v2_ref, name="dva_v2_shift") & Shift(
        (1 - scale) * v3_ref, name="dva_v3_shift"
    )
    stretch.name = "DVA_Correction"
    return stretch


def to_sky(meta: FlatMetadata) -> tuple[Model, Model]:
    """The transforms from V2, V3 to the sky of an exposure: aberration, then pointing.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    aberration, pointing : astropy.modeling.Model
    """
    info = {name: meta[f"meta.wcsinfo.{name}"] for name in POINTING}
    scale = meta.get("meta.velocity_aberration.scale_factor")
    return aberration(scale, info["v2_ref"], info["v3_ref"]), sky_from_v2v3(info)


def dithered_v2v3(meta: FlatMetadata) -> tuple[float, float] | None:
    """Where the target is after the dither; None where its offsets are not known.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name; the offsets of the dither are in arcsec of the aperture's ideal frame.

    Returns
    -------
    (float, float) or None, arcsec
        V2, V3.
    """
    names = ("dither.x_offset", "dither.y_offset", "wcsinfo.v3yangle", "wcsinfo.vparity")
    known = [meta.get(f"meta.{name}") for name in names]
    if None in known:
        return None
    x, y, angle, parity = (float(number) for number in known if number is not None)
    turn = math.radians(angle)
    v2 = meta["meta.wcsinfo.v2_ref"] + parity * x * math.cos(turn) + y * math.sin(turn)
    v3 = meta["meta.wcsinfo.v3_ref"] - parity * x * math.sin(turn) + y * math.cos(turn)
    return v2, v3
