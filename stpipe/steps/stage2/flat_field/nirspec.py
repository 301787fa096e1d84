"""Flats of NIRSpec's spectra: their references, and the response of every slit or slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.engine.rectangle import Rectangle
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has
from stpipe.science.flats.fast_variation import FastVariation, Light
from stpipe.science.flats.spectral import (
    Flat,
    at_wavelength,
    combined,
    fore_optics,
    with_fast_variation,
)
from stpipe.science.spectra.slits import has_many
from stpipe.science.wcs.nirspec.modes import IMAGES, TYPES, mode_of
from stpipe.science.wcs.wavelengths import uncorrected_wavelengths, wavelengths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import ImageModel, MultiSlitModel
    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.spectra.slits import Slits
    from stpipe.science.wcs.wavelengths import Spectral

    References = Mapping[str, CutReference]

__all__ = [
    "REFERENCES",
    "add_flat",
    "empty_flats",
    "flat_of",
    "has_spectra",
    "is_cut_out",
    "makes_flats",
    "model_of_flats",
    "supplied_flat",
    "unknown_flat",
]

FORE_OPTICS, OTHERS = "fflat", ("sflat", "dflat")
REFERENCES = (FORE_OPTICS, *OTHERS)


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()


def makes_flats(meta: FlatMetadata) -> bool:
    """Whether flats are made of such exposures: they have none themselves."""
    return _kind(meta) == "NRS_AUTOFLAT"


def has_spectra(meta: FlatMetadata) -> bool:
    """Whether an exposure is one of NIRSpec with spectra."""
    lamp = str(meta.get("meta.instrument.lamp_mode")).upper()
    return _kind(meta) in TYPES - IMAGES and lamp != "IMAGE"


def is_cut_out(exposure: Slits, meta: FlatMetadata) -> bool:
    """Whether the spectra of an exposure are there to be corrected: its slits, or its slices."""
    if mode_of(meta) == "slices":
        return exposure.has("regions")
    return has_many(exposure) or type(exposure).__name__ == "SlitModel"


def model_of_flats(meta: FlatMetadata) -> str:
    """The model that holds the flats of an exposure: slits, or an image."""
    many = mode_of(meta) != "slices" and _kind(meta) != "NRS_BRIGHTOBJ"
    return "MultiSlitModel" if many else "ImageModel"


UNKNOWN = dqflags.DO_NOT_USE | dqflags.NO_FLAT_FIELD

# --- the flat of a spectrum -----------------------------------------------------------------------


def flat_of(spectrum: Spectral, meta: FlatMetadata, references: References) -> Flat:
    """The response of the pixels of a slit, or of all slices.

    A fixed slit with a point source gets the responses to it and to light that fills the slit.

    Raises
    ------
    InputError, ReferenceMissing
        When a reference does not have the slit.
    """
    if mode_of(meta) == "slices":
        return _of_slices(spectrum, meta, references)
    flat = _of_slit(wavelengths(spectrum), meta, references)
    if (_kind(meta), meta.get("source_type")) == ("NRS_FIXEDSLIT", "POINT"):
        uniform = _of_slit(uncorrected_wavelengths(spectrum), meta, references)
        spectrum.set("flatfield_point", flat.response)
        spectrum.set("flatfield_uniform", uniform.response)
    return flat


def unknown_flat(spectrum: Spectral) -> Flat:
    """A flat that no reference has: its pixels are not used."""
    shape = spectrum.shape[-2:]
    return Flat(np.ones(shape), np.full(shape, UNKNOWN, np.uint32), np.zeros(shape))


def _of_slit(waves: Floats | Doubles, meta: FlatMetadata, references: References) -> Flat:
    rows, columns = waves.shape
    y, x = meta["ystart"] - 1, meta["xstart"] - 1
    place = Rectangle(y, y + rows, x, x + columns)
    return _of_light(Light.of(waves), place, meta, references)


def _of_slices(image: Spectral, meta: FlatMetadata, references: References) -> Flat:
    """The flats of all slices; pixels between them, or without a response, are NaN."""
    from scipy.ndimage import find_objects

    waves, regions = wavelengths(image), image.regions
    frame = regions.shape
    response, error = np.full((2, *frame), np.nan, np.float32)
    dq = np.zeros(frame, np.uint32)
    for number, found in enumerate(find_objects(regions), start=1):
        if found is None:
            continue
        (rows, columns) = found
        # With a margin: light ends within the box, not at its edge.
        box = Rectangle(rows.start, rows.stop, columns.start, columns.stop).grown(1, frame)
        lit = regions[box.section] == number
        light = Light.of(np.where(lit, waves[box.section], np.nan))
        flat = _of_light(light, box, meta, references)
        seen = light.wavelength > 0
        response[box.section][seen] = flat.response[seen]
        error[box.section][seen] = flat.error[seen]
        dq[box.section][seen] = flat.dq[seen]
    unknown = has(dq, dqflags.DO_NOT_USE) | np.isnan(response)
    response[unknown] = error[unknown] = np.nan
    return Flat(response, dq | bits_where(unknown, dqflags.DO_NOT_USE), error)


def _of_light(light: Light, box: Rectangle, meta: FlatMetadata, references: References) -> Flat:
    """The flat of a box of the exposure."""
    y, x = ((meta.get(f"meta.subarray.{name}") or 1) - 1 for name in ("ystart", "xstart"))
    place = Rectangle(box.y0 + y, box.y1 + y, box.x0 + x, box.x1 + x)
    parts = [
        _over_pixels(references[kind].on_detector(place), light, _row_of(meta))
        for kind in OTHERS
        if kind in references
    ]
    if FORE_OPTICS in references:
        parts.append(_of_fore_optics(references[FORE_OPTICS], light, meta))
    return combined(parts)


def _row_of(meta: FlatMetadata) -> str | None:
    """The name that rows of FAST_VARIATION go by; None when there is one row for all."""
    return str(meta["name"]) if mode_of(meta) == "slits" else None


def _over_pixels(reference: CutReference, light: Light, row: str | None) -> Flat:
    """The flat of the spectrograph or of the detector, which differs from pixel to pixel."""
    cube = Flat(reference.data, reference.dq, reference.err)
    planes = _planes(reference.wavelength, cube.response, reference.meta.filename)
    slow = at_wavelength(cube, planes, light)
    return with_fast_variation(slow, _fast(reference, row), light)


def _fast(reference: CutReference, row: str | None) -> FastVariation:
    try:
        return FastVariation.of(reference.flat_table, row)
    except InputError as error:
        raise InputError(f"{reference.meta.filename}: {error}") from None


def _planes(table: Table | None, cube: Any, name: str | None) -> Doubles:
    """Wavelengths of the planes of a cube, um; entries that are none fill up the table."""
    count = cube.shape[0] if cube.ndim > 2 else 0  # noqa: PLR2004 - an image is of all wavelengths
    found = np.zeros(0) if table is None else np.ravel(table["wavelength"]).astype(np.float64)
    found = found[found > 0]
    if found.size < count:
        raise InputError(
            f"{name}: {count} planes have {found.size} wavelengths in the table WAVELENGTH; allowed: "
            "one for each plane. Give another flat."
        )
    return found[:count]


def _of_fore_optics(reference: CutReference, light: Light, meta: FlatMetadata) -> Flat:
    """The flat of the fore optics: of shutters with a spectrum of their own."""
    if mode_of(meta) != "shutters":
        return fore_optics(_fast(reference, _row_of(meta)), light)
    quadrant = _quadrant(reference, meta)
    planes = _planes(quadrant.wavelength, quadrant.data, reference.meta.filename)
    shutter = (slice(None), meta["ycen"] - 1, meta["xcen"] - 1)
    fast = FastVariation.of(quadrant.flat_table).times(planes, quadrant.data[shutter])
    error = quadrant.err[shutter]
    return fore_optics(fast, light, np.interp(light.wavelength, planes, error, left=0, right=0))


def _quadrant(reference: CutReference, meta: FlatMetadata) -> Any:
    number, quadrants = int(meta.get("quadrant") or 0), reference.quadrants
    if not 1 <= number <= len(quadrants):
        raise InputError(
            f"{meta.get('meta.filename')}: the slit {meta.get('name')} is in quadrant {number}, of "
            f"which the fflat reference has {len(quadrants)}. Give another "
            "with override_fflat."
        )
    return quadrants[number - 1]


# --- flats as files -------------------------------------------------------------------------------


def supplied_flat(flats: Any, meta: FlatMetadata) -> Flat:
    """The flat of a slit in a file of flats, by the name of the slit; of an image the whole.

    Raises
    ------
    InputError
        When the file has no such slit.
    """
    slits = getattr(flats, "slits", None)
    if slits is None:
        return Flat(flats.data, flats.dq, flats.err)
    by_name = {str(slit.name): slit for slit in slits}
    name = str(meta.get("name"))
    if name not in by_name:
        raise InputError(
            f"{flats.meta.filename} has no flat of the slit {name}; it has {', '.join(by_name)}. Give "
            "the flats of this exposure with user_supplied_flat."
        )
    return Flat(by_name[name].data, by_name[name].dq, by_name[name].err)


def empty_flats(exposure: Slits) -> MultiSlitModel | ImageModel:
    """A model for the flats of an exposure, with its metadata."""
    from stpipe import models

    if has_many(exposure):
        exposure.slits.revive("meta.wcs")  # the flats get them, too
    flats = models.MultiSlitModel() if has_many(exposure) else models.ImageModel()
    flats.update(exposure)
    return flats


def add_flat(flats: Any, spectrum: Spectral, flat: Flat) -> None:
    """Put the flat of a spectrum into a model of flats."""
    if has_many(flats):
        names = ("name", "xstart", "xsize", "ystart", "ysize")
        flats.slits.append({name: spectrum.get(name) for name in names})
    target = flats.slits[-1] if has_many(flats) else flats
    target.data, target.dq, target.err = flat.response, flat.dq, flat.error
    if not spectrum.has("regions"):
        target.wavelength = np.nan_to_num(wavelengths(spectrum))
        target.meta.wcs = spectrum.meta.wcs
