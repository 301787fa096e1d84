"""Coordinates of NIRSpec: of an image, of every open slit, or of the slices."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from stpipe.science import dispersion
from stpipe.science.wcs.nirspec.ifu import (
    ifu_wcs,
    refuse_empty_detector,
    slice_entrances,
)
from stpipe.science.wcs.nirspec.imaging import image_wcs
from stpipe.science.wcs.nirspec.open_slits import located
from stpipe.science.wcs.nirspec.optics import Band, Optics, fore_optics, is_lamp, telescope
from stpipe.science.wcs.nirspec.slit_wcs import slit_wcs
from stpipe.science.wcs.slices import s_region_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import CubeModel, IFUImageModel, ImageModel
    from stpipe.references.opened import CutReference
    from stpipe.science.wcs.nirspec.slits import OpenSlit

__all__ = ["assign_image", "assign_slices", "assign_slits"]

BARYCENTRE = "BARYCENT"
References: TypeAlias = "Mapping[str, CutReference]"
Rates: TypeAlias = "ImageModel | CubeModel | IFUImageModel"
Limits: TypeAlias = tuple[float, float]


def assign_image(exposure: Rates, references: References) -> None:
    """Attach the gwcs of an image of the sky."""
    meta = exposure.to_flat_dict()
    optics = Optics.of(meta, references, ())
    rows, columns = exposure.shape[-2:]
    exposure.meta.wcs = image_wcs(meta, references, optics, (rows, columns))
    _describe_band(exposure, optics.band)


def assign_slits(exposure: Rates, slits: list[OpenSlit], references: References) -> None:
    """Attach the open slits, each with its gwcs, in `open_slits`; of one slit alone as `meta.wcs`.

    Raises
    ------
    NoProduct
        When none of them falls on the detector.
    """
    meta = exposure.to_flat_dict()
    optics = Optics.of(meta, references, telescope(meta, references))
    found = [
        {**asdict(slit), "wcs": wcs} for slit, wcs in located(slits, references["msa"], optics)
    ]
    if str(meta["meta.exposure.type"]).upper() == "NRS_BRIGHTOBJ":
        exposure.meta.wcs = found[0]["wcs"]
    exposure.set("open_slits", found)
    _describe(exposure, optics.band)


def assign_slices(exposure: Rates, references: References, limits: Limits, *, each: bool) -> None:
    """Attach the gwcs of the integral-field unit, and which slice every pixel sees.

    With `each` the slices have one of their own, too, in `open_slits`.

    Raises
    ------
    NoProduct
        When no slice falls on the detector.
    """
    meta = exposure.to_flat_dict()
    refuse_empty_detector(meta)
    optics = Optics.of(meta, references, fore_optics(meta, references))
    entrances = slice_entrances(references, optics, limits)
    exposure.meta.wcs, regions = ifu_wcs(entrances, optics)
    exposure.set("regions", regions)
    if not is_lamp(meta):
        exposure.meta.wcsinfo.s_region = s_region_of(exposure.meta.wcs, regions)
    if each:
        slices = (
            (f"{n}", entrance, slit_wcs(entrance, optics)) for n, entrance in enumerate(entrances)
        )
        exposure.set("open_slits", [{"name": name, "wcs": wcs} for name, _, wcs in slices])
    _describe(exposure, optics.band)


def _describe(exposure: Rates, band: Band) -> None:
    info = exposure.meta.wcsinfo
    info.specsys = BARYCENTRE
    info.dispersion_direction = dispersion.HORIZONTAL
    _describe_band(exposure, band)


def _describe_band(exposure: Rates, band: Band) -> None:
    info = exposure.meta.wcsinfo
    info.spectral_order = band.order
    info.waverange_start, info.waverange_end = band.limits
