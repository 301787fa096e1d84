"""Extract the spectrum of a cube: where the source is, the apertures of each plane, and the sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from stpipe.errors import InputError, ReferenceMissing
from stpipe.science.exposure_types import MRS
from stpipe.science.spectra import cube_places
from stpipe.science.spectra.cube_extraction import (
    Circles,
    CubeSums,
    Planes,
    blocks,
    joined,
    linear,
    sums_in_circles,
    sums_of_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from logging import Logger

    from stpipe.models import IFUCubeModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["POINT", "CubeExtraction", "CubeRules", "extract_cube"]

POINT, EXTENDED = "POINT", "EXTENDED"
LONGEST = 26.0  # um; at longer wavelengths MIRI sees next to nothing
USUAL = 2.0  # widths (FWHM) of a point source that the circle of the reference is wide
METHODS = {"exact": 0, "center": 1}


class CubeRules(Protocol):
    """The parameters that say how."""

    log: Logger
    subtract_background: bool | None
    center_xy: list[float] | None
    center_radec: list[float] | None
    ifu_autocen: bool
    ifu_set_srctype: str | None
    ifu_rscale: float | None
    bkg_sigma_clip: float

    @property
    def qualified_name(self) -> str:
        """The step in messages."""
        ...


@dataclass(frozen=True)
class CubeExtraction:
    """What was found in a cube.

    Attributes
    ----------
    source_type : str
        POINT or EXTENDED.
    wavelength : (planes,) float64, um
    sums : CubeSums
    centre : (float, float)
        Column and row of the middle of the aperture, from 0.
    place : (float, float)
        The same on the sky, degrees.
    width : float, arcsec
        Of a spaxel.
    radius : (planes,) float64, spaxels
        Of the circles; of an extended source there is none.
    """

    source_type: str
    wavelength: Doubles
    sums: CubeSums
    centre: tuple[float, float]
    place: tuple[float, float]
    width: float
    radius: Doubles


def extract_cube(
    cube: IFUCubeModel, rules: CubeRules, references: Mapping[str, CutReference]
) -> CubeExtraction:
    """Add up the light of a point source in circles, or of everything.

    Raises
    ------
    InputError
        When the cube has no coordinates or no wavelengths, or `center_radec` is outside.
    ReferenceMissing
        When the apertures of a point source are not known.
    """
    meta = cube.to_flat_dict()
    wcs, shape = cube.meta.wcs, cube.shape
    if wcs is None:
        raise InputError(
            f"{rules.qualified_name}: {meta.get('meta.filename')} has no gwcs, which says the "
            "wavelengths of its planes. Build the cube again with cube_build."
        )
    waves = cube_places.plane_wavelengths(wcs, shape)
    known = np.flatnonzero(np.isfinite(waves))
    if not len(known):
        raise InputError(
            f"{rules.qualified_name}: no plane of {meta.get('meta.filename')} has a wavelength. "
            "Build the cube again with cube_build."
        )
    kind = _source_type(meta, rules)
    span = slice(int(known[0]), int(known[-1]) + 1)
    waves = waves[span]
    width = cube_places.spaxel_width(wcs, shape)
    radius = np.zeros(0)
    centre = ((shape[2] - 1) / 2, (shape[1] - 1) / 2)
    parts = _planes(cube, span)
    if kind == POINT:
        centre = _centre(cube, rules, meta)
        circles, subtract = _circles(rules, meta, references, Asked(waves, centre, width))
        radius = circles.radius
        sums = joined(
            [
                sums_in_circles(
                    planes, circles.within(part), subtract=subtract, sigma=rules.bkg_sigma_clip
                )
                for part, planes in parts
            ]
        )
    else:
        sums = joined([sums_of_all(planes, rules.bkg_sigma_clip) for _, planes in parts])
    if empty := int(np.count_nonzero(~sums.seen)):
        rules.log.warning("Nothing was seen in the aperture in %d of %d planes", empty, len(waves))
    place = cube_places.on_sky(wcs, shape, *centre)
    return CubeExtraction(kind, waves, sums, centre, place, width, radius)


def _source_type(meta: FlatMetadata, rules: CubeRules) -> str:
    found = meta.get("meta.target.source_type")
    if rules.ifu_set_srctype is not None:
        if str(meta.get("meta.exposure.type")).upper() == MRS:
            return rules.ifu_set_srctype
        rules.log.warning("ifu_set_srctype has no effect: it is for %s", MRS)
    if found not in (POINT, EXTENDED):
        rules.log.warning("The source type is %s; the source is taken as extended", found)
        return EXTENDED
    return str(found)


def _planes(cube: IFUCubeModel, span: slice) -> Iterator[tuple[slice, Planes]]:
    """Planes of a span, some at a time, and which of it they are."""
    count, voxels = span.stop - span.start, cube.shape[1] * cube.shape[2]
    for part in blocks(count, voxels):
        of_cube = slice(span.start + part.start, min(span.start + part.stop, span.stop))
        data, err = (_read(cube, name, of_cube) for name in ("data", "err"))
        yield part, Planes.of(data, err, _weight(cube, of_cube))


def _read(cube: IFUCubeModel, name: str, planes: slice) -> Floats:
    every = slice(None)
    return np.asarray(cube.read(name, (planes, every, every)))


def _weight(cube: IFUCubeModel, planes: slice) -> Floats:
    """How often voxels were seen; without such an array all that have a value count once."""
    if cube.has("weightmap"):
        return _read(cube, "weightmap", planes)
    return np.ones(_read(cube, "data", planes).shape, np.float32)


# --- where the source is -----------------------------------------------------------------------------


def _centre(cube: IFUCubeModel, rules: CubeRules, meta: FlatMetadata) -> tuple[float, float]:
    """Column and row: as parameters say, of the brightest star, or of the target."""
    if rules.center_xy is not None:
        return float(rules.center_xy[0]), float(rules.center_xy[1])
    if rules.center_radec is not None:
        return _asked(cube, rules)
    if rules.ifu_autocen:
        star = _star(cube)
        if star is not None:
            rules.log.info("The brightest star is at x = %.3f, y = %.3f", *star)
            return star
        rules.log.warning("No star stands out of the noise; the target's coordinates are used")
    ra, dec = (meta.get(f"meta.target.{axis}") for axis in ("ra", "dec"))
    found = None
    if ra is not None and dec is not None:
        found = cube_places.nearest_spaxel(cube.meta.wcs, cube.shape, ra, dec)
    if found is None:
        rules.log.warning(
            "The target (TARG_RA %s, TARG_DEC %s) is not in the cube; the middle is used. "
            "center_xy, center_radec or ifu_autocen say it better",
            ra,
            dec,
        )
        return cube.shape[2] / 2, cube.shape[1] / 2
    rules.log.info("The target is at x = %g, y = %g", *found)
    return found


def _asked(cube: IFUCubeModel, rules: CubeRules) -> tuple[float, float]:
    ra, dec = map(float, rules.center_radec or ())
    found = cube_places.pixel_at(cube.meta.wcs, cube.shape, ra, dec)
    if found is None:
        middle = cube_places.on_sky(cube.meta.wcs, cube.shape, cube.shape[2] / 2, cube.shape[1] / 2)
        raise InputError(
            f"{rules.qualified_name}: center_radec = {ra}, {dec} is outside the cube, whose middle "
            f"is {middle[0]:.6f}, {middle[1]:.6f}. Give degrees within it."
        )
    rules.log.info("center_radec is at x = %.3f, y = %.3f", *found)
    return found


def _star(cube: IFUCubeModel) -> tuple[float, float] | None:
    seen = cube_places.plane_wavelengths(cube.meta.wcs, cube.shape) < LONGEST
    if not seen.any():
        return None
    data, weight = np.asarray(cube.data), _weight(cube, slice(None))
    return cube_places.brightest_star(data[seen], weight[seen])


# --- the apertures -----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """Wavelengths (um) that circles are asked for, around which pixel, and arcsec of a spaxel."""

    wavelength: Doubles
    centre: tuple[float, float]
    width: float


def _circles(
    rules: CubeRules, meta: FlatMetadata, references: Mapping[str, CutReference], asked: Asked
) -> tuple[Circles, bool]:
    """Circles and rings by wavelength of an EXTRACT1D reference, and whether rings are subtracted."""
    if "extract1d" not in references:
        raise ReferenceMissing(
            f"{rules.qualified_name}: there is no EXTRACT1D reference (N/A), which has the apertures "
            "of point sources. Give one with override_extract1d."
        )
    reference = references["extract1d"]
    at, radius, inner, outer = (
        np.asarray(getattr(reference.data, name), np.float64).ravel()
        for name in ("wavelength", "radius", "inner_bkg", "outer_bkg")
    )
    if rules.ifu_rscale is not None:
        if str(meta.get("meta.exposure.type")).upper() == MRS:
            radius = radius * (rules.ifu_rscale / USUAL)
        else:
            rules.log.warning("ifu_rscale has no effect: it is for %s", MRS)
    radius, inner, outer = (
        linear(asked.wavelength, at, values) / asked.width for values in (radius, inner, outer)
    )
    circles = Circles(asked.centre, radius, inner, outer, _subpixels(reference))
    wanted = rules.subtract_background
    subtract = bool(reference.meta.subtract_background) if wanted is None else wanted
    lacking = int(np.count_nonzero(~circles.has_ring))
    if subtract and lacking:
        rules.log.warning(
            "The background of %d of %d planes is not subtracted: the EXTRACT1D reference has no "
            "ring there",
            lacking,
            len(asked.wavelength),
        )
    return circles, subtract


def _subpixels(reference: Any) -> int:
    """How edges of apertures count: by points of a pixel, or 0 for areas."""
    method = str(reference.meta.method or "subpixel").lower()
    if method in METHODS:
        return METHODS[method]
    if method != "subpixel":
        raise ReferenceMissing(
            f"{reference.meta.filename}: the method is {method}, allowed: subpixel, exact, center. "
            "Give another EXTRACT1D reference with override_extract1d."
        )
    return int(reference.meta.subpixels or 10)
