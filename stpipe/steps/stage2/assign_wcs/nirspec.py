"""Coordinates of NIRSpec: of an image, of every open slit, or of the slices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stpipe.errors import InputError, NoProduct
from stpipe.science import dispersion
from stpipe.science.wcs.nirspec.ifu import ifu_wcs, slice_entrances
from stpipe.science.wcs.nirspec.imaging import image_wcs
from stpipe.science.wcs.nirspec.modes import Mode
from stpipe.science.wcs.nirspec.msa_metafile import ROWS, open_shutters
from stpipe.science.wcs.nirspec.optics import Band, Optics, band_of, fore_optics, telescope
from stpipe.science.wcs.nirspec.slit_wcs import (
    bounding_box,
    falls_on_detector,
    shutter_entrance,
    slit_wcs,
)
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT, OpenSlit, fixed_slits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import CubeModel, IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference

__all__ = ["assign_image", "assign_slices", "assign_slits", "metafile_beside", "open_slits"]

BARYCENTRE = "BARYCENT"
References: TypeAlias = "Mapping[str, CutReference]"
Rates: TypeAlias = "ImageModel | CubeModel | IFUImageModel"
Limits: TypeAlias = tuple[float, float]


def assign_image(exposure: Rates, references: References) -> None:
    """Attach the gwcs of an image of the sky."""
    meta = exposure.to_flat_dict()
    exposure.meta.wcs = image_wcs(meta, references, Optics.of(meta, references, ()))
    _describe(exposure, band_of(meta, references["wavelengthrange"]))


def assign_slits(exposure: Rates, slits: list[OpenSlit], references: References) -> None:
    """Attach the open slits, each with its gwcs, in `open_slits`; of one slit alone as `meta.wcs`.

    Raises
    ------
    NoProduct
        When none of them falls on the detector.
    """
    meta = exposure.to_flat_dict()
    optics = Optics.of(meta, references, telescope(meta, references))
    found = []
    for slit in slits:
        entrance = shutter_entrance(slit, references["msa"], optics)
        wcs = slit_wcs(entrance, optics)
        if falls_on_detector(wcs, entrance, optics):
            wcs.bounding_box = bounding_box(wcs, entrance, optics)
            found.append({**asdict(slit), "wcs": wcs})
    if not found:
        names = ", ".join(slit.name for slit in slits)
        detector = meta["meta.instrument.detector"]
        raise NoProduct(f"none of its slits falls on {detector} (open: {names})")
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
    _refuse_empty_detector(meta)
    optics = Optics.of(meta, references, fore_optics(meta, references))
    entrances = slice_entrances(references, optics, limits)
    exposure.meta.wcs, regions = ifu_wcs(entrances, optics)
    exposure.set("regions", regions)
    if each:
        slices = (
            (f"{n}", entrance, slit_wcs(entrance, optics)) for n, entrance in enumerate(entrances)
        )
        exposure.set("open_slits", [{"name": name, "wcs": wcs} for name, _, wcs in slices])
    _describe(exposure, optics.band)


def _refuse_empty_detector(meta: FlatMetadata) -> None:
    """Spectra of medium resolution, and of the bluest at high resolution, are on NRS1 alone."""
    grating, filter_ = (meta.get(f"meta.instrument.{name}") for name in ("grating", "filter"))
    blue = (grating, filter_) == ("G140H", "F070LP")
    if meta["meta.instrument.detector"] == "NRS2" and (str(grating).endswith("M") or blue):
        raise NoProduct(f"no slice falls on NRS2 with {grating} and {filter_}")


def _describe(exposure: Rates, band: Band) -> None:
    info = exposure.meta.wcsinfo
    info.specsys = BARYCENTRE
    info.dispersion_direction = dispersion.HORIZONTAL
    info.spectral_order = band.order
    info.waverange_start, info.waverange_end = band.limits


def open_slits(
    mode: Mode, meta: FlatMetadata, references: References, metafile: Path | None, limits: Limits
) -> list[OpenSlit]:
    """The slits that are open: fixed ones, or those of the metafile of the shutters."""
    if mode == "slits" or metafile is None:
        return fixed_slits(meta, limits)
    msa = references["msa"]

    def scales(quadrant: int) -> tuple[float, float]:
        if quadrant == FIXED_QUADRANT:
            return NOMINAL_SCALES
        table: Any = getattr(msa, f"Q{quadrant}").data
        x = (table["XC"][1] - table["XC"][0]) / table["SIZEX"][0]
        y = (table["YC"][ROWS] - table["YC"][0]) / table["SIZEY"][0]
        return float(x), float(y)

    return open_shutters(metafile, meta, limits, scales)


NOMINAL_SCALES = (1.35, 1.15)  # pitches of shutters in their widths and heights


def metafile_beside(source: Path | None, meta: FlatMetadata) -> Path:
    """The metafile of the shutters that MSAMETFL names, in the folder of the exposure.

    Raises
    ------
    InputError
        When the exposure names none, or there is no such file.
    """
    name = meta.get("meta.instrument.msa_metadata_file")
    if not name:
        raise InputError(
            f"{meta.get('meta.filename')}: MSAMETFL is not set; it names the metafile of the shutters. "
            "Give it with override_msametafile=PATH."
        )
    folder = source.parent if source is not None else Path()
    path = folder / Path(str(name)).name  # never out of the exposure's own folder
    if not path.is_file():
        raise InputError(
            f"{meta.get('meta.filename')}: there is no file {path}, which MSAMETFL names. Put the "
            "metafile of the shutters beside the exposure, or give it with override_msametafile=PATH."
        )
    return path
