"""The gwcs of images through the mirror of NIRSpec: target acquisition and its verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.science.wcs.nirspec import frames
from stpipe.science.wcs.nirspec.optics import is_lamp
from stpipe.science.wcs.pointing import to_sky

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.wcs.nirspec.optics import Link, Optics

__all__ = ["image_wcs"]


def image_wcs(
    meta: FlatMetadata,
    references: Mapping[str, CutReference],
    optics: Optics,
    shape: tuple[int, int],
) -> WCS:
    """The gwcs of an image: detector, sca, gwa, msa, oteip, v2v3, v2v3vacorr, world.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    references : mapping of CutReference
        `fore` and `ote`, unless a lamp shines.
    optics : Optics
    shape : (rows, columns)
        Of the array.

    Returns
    -------
    gwcs.WCS
        To right ascension and declination in degrees; of lamps to the plane of the shutters.
    """
    from gwcs import WCS

    links: list[Link] = [
        (frames.pixels("detector"), optics.to_sca),
        (frames.pixels("sca"), optics.to_wheel),
        (frames.wheel(), _reflected(optics)),
    ]
    beyond: list[Link] = [(frames.shutters("msa"), None)]
    if not is_lamp(meta):
        beyond = _to_sky(meta, references, optics.band.middle)
    wcs = WCS([*links, *beyond])
    rows, columns = shape
    wcs.bounding_box = ((-0.5, columns - 0.5), (-0.5, rows - 0.5))
    return wcs


def _reflected(optics: Optics) -> Model:
    """Directions that leave the mirror to places at the shutters, with the middle wavelength."""
    from astropy.modeling.models import Identity, Mapping, Scale

    mirrored = Scale(-1) & Scale(-1) & Identity(1)
    wavelength = _at(optics.band.middle * optics.unit)
    transform = mirrored | optics.from_shutters.inverse | wavelength
    transform.inverse = Mapping((0, 1), n_inputs=3) | optics.from_shutters | mirrored
    return transform


def _at(wavelength: float) -> Model:
    """Put a wavelength beside a place."""
    from astropy.modeling.models import Const1D, Identity, Mapping

    return Mapping((0, 1, 1)) | Identity(2) & Const1D(wavelength)


def _to_sky(
    meta: FlatMetadata, references: Mapping[str, CutReference], wavelength: float
) -> list[Link]:
    """From the plane of the shutters on."""
    from astropy.modeling.models import Identity, Mapping

    from stpipe.science.wcs.imaging import sky_frame, v2v3_frame

    fore = references["fore"].model
    there = Mapping((0, 1, 2)) | fore
    there.inverse = _at(wavelength) | Mapping((0, 1, 2, 2)) | fore.inverse & Identity(1)
    aberration, sky = to_sky(meta)
    return [
        (frames.shutters("msa"), there),
        (frames.plane("oteip", ("x_oteip", "y_oteip"), "deg"), references["ote"].model),
        (v2v3_frame("v2v3"), aberration),
        (v2v3_frame("v2v3vacorr"), sky),
        (sky_frame(), None),
    ]
