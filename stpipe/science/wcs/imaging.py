"""The world coordinate system of images: pixels, telescope, sky; and its description in FITS."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from stpipe.science.wcs.pointing import to_sky

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astropy.modeling import Model
    from gwcs import WCS
    from gwcs.coordinate_frames import CelestialFrame, Frame2D

    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles

__all__ = [
    "filter_offset",
    "fits_keywords",
    "imaging_wcs",
    "polygon",
    "s_region",
    "subarray_shift",
    "v2v3_frame",
]

FilterOffset: TypeAlias = Mapping[str, Any]  # an entry: filter, pupil, column_offset, row_offset
Limits: TypeAlias = tuple[tuple[float, float], tuple[float, float]]  # of x, then of y
LARGEST_DEGREE = 5  # of SIP polynomials when the fit chooses


def imaging_wcs(
    meta: FlatMetadata, shape: tuple[int, ...], distortion: Model, filters: Iterable[FilterOffset]
) -> WCS:
    """The gwcs of an image: detector, v2v3, v2v3vacorr, world.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    shape : (int, int)
        Rows and columns of the image.
    distortion : astropy.modeling.Model
        From pixels of the full frame, from 0, to V2, V3 in arcsec.
    filters : iterable of mapping
        Entries of a FILTEROFFSET reference; none where there is none.

    Returns
    -------
    gwcs.WCS
        To right ascension and declination in degrees.
    """
    from gwcs import WCS

    aberration, sky = to_sky(meta)
    return WCS(
        [
            (detector_frame(), to_v2v3(meta, shape, distortion, filters)),
            (v2v3_frame("v2v3"), aberration),
            (v2v3_frame("v2v3vacorr"), sky),
            (sky_frame(), None),
        ]
    )


def sky_frame() -> CelestialFrame:
    """Right ascension and declination in degrees.

    Returns
    -------
    gwcs.coordinate_frames.CelestialFrame
    """
    from astropy.coordinates import ICRS
    from gwcs.coordinate_frames import CelestialFrame

    return CelestialFrame(reference_frame=ICRS(), name="world")


def detector_frame() -> Frame2D:
    """Pixels of the image, from 0, x first.

    Returns
    -------
    gwcs.coordinate_frames.Frame2D
    """
    from astropy import units
    from gwcs.coordinate_frames import Frame2D

    return Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))


def v2v3_frame(name: str) -> Frame2D:
    """V2 and V3 in arcsec.

    Parameters
    ----------
    name : str

    Returns
    -------
    gwcs.coordinate_frames.Frame2D
    """
    from astropy import units
    from gwcs.coordinate_frames import Frame2D

    unit = (units.arcsec, units.arcsec)
    return Frame2D(name=name, axes_order=(0, 1), axes_names=("v2", "v3"), unit=unit)


def to_v2v3(
    meta: FlatMetadata, shape: tuple[int, ...], distortion: Model, filters: Iterable[FilterOffset]
) -> Model:
    """The transform from pixels of the image to V2, V3, valid within the image.

    Parameters
    ----------
    meta, shape, distortion, filters
        As `imaging_wcs` takes them. The distortion may say within which pixels of the full frame it is
        valid.

    Returns
    -------
    astropy.modeling.Model
        From pixels, from 0, to arcsec, with a bounding box.
    """
    from astropy.modeling import bind_bounding_box
    from astropy.modeling.models import Shift

    transform, limits = distortion, own_limits(distortion)
    if offset := filter_offset(meta, filters):
        transform = (Shift(offset[0]) & Shift(offset[1])) | transform
    if shift := subarray_shift(meta):
        transform, limits = shift | transform, None
    rows, columns = shape
    box = limits or ((-0.5, columns - 0.5), (-0.5, rows - 0.5))
    bind_bounding_box(transform, box, order="F")
    return transform


def own_limits(transform: Model) -> Limits | None:
    """The bounding box that a transform brings; None without one.

    Parameters
    ----------
    transform : astropy.modeling.Model

    Returns
    -------
    ((float, float), (float, float)) or None, pixels from 0
        Limits of x, then of y.
    """
    try:
        limits: Limits = transform.bounding_box.bounding_box(order="F")
    except NotImplementedError:
        return None
    return limits


def filter_offset(
    meta: FlatMetadata, filters: Iterable[FilterOffset]
) -> tuple[float, float] | None:
    """Columns and rows by which the optical elements shift the image; None where none is listed.

    An entry without a pupil, or of MIRI (which has no pupil wheel), fits by its filter alone.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.
    filters : iterable of mapping
        Entries of a FILTEROFFSET reference.

    Returns
    -------
    (float, float) or None, pixels
        Columns, rows.
    """
    optics = {name: meta.get(f"meta.instrument.{name}") for name in ("filter", "pupil")}
    for entry in filters:
        asked = ("filter",) if entry.get("pupil", "N/A") == "N/A" else ("filter", "pupil")
        if all(entry[name] == optics[name] for name in asked):
            return float(entry["column_offset"]), float(entry["row_offset"])
    return None


def subarray_shift(meta: FlatMetadata) -> Model | None:
    """The transform from pixels of the subarray to those of the full frame; None for full frames.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    astropy.modeling.Model or None
    """
    from astropy.modeling.models import Identity, Shift

    starts = [meta.get(f"meta.subarray.{name}") or 1 for name in ("xstart", "ystart")]
    if starts == [1, 1]:
        return None
    x, y = (Identity(1) if start == 1 else Shift(start - 1) for start in starts)
    return x & y


# --- what other software reads ------------------------------------------------------------------


def s_region(wcs: WCS) -> str | None:
    """The outline of the image on the sky, as S_REGION has it; None where it is not known.

    Parameters
    ----------
    wcs : gwcs.WCS
        With a bounding box.

    Returns
    -------
    str or None
    """
    corners = wcs.footprint(wcs.bounding_box, center=False, axis_type="spatial")
    return polygon(corners[:, 0], corners[:, 1])


def polygon(right_ascensions: Doubles, declinations: Doubles) -> str | None:
    """Corners as the text of S_REGION; None when one of them is not a number.

    Parameters
    ----------
    right_ascensions, declinations : (n,) float64, degrees

    Returns
    -------
    str or None
    """
    pairs = zip(right_ascensions, declinations, strict=True)
    numbers = [number for ra, dec in pairs for number in (ra % 360, dec)]
    if any(number != number for number in numbers):  # noqa: PLR0124 - that is how NaN shows
        return None
    return "POLYGON ICRS  " + " ".join(f"{number:.9f}" for number in numbers)


def fits_keywords(wcs: WCS, meta: FlatMetadata, **accuracy: object) -> dict[str, Any]:
    """A SIP approximation of an image's gwcs (Shupe et al. 2005): values of `meta.wcsinfo`.

    Parameters
    ----------
    wcs : gwcs.WCS
        With a bounding box.
    meta : mapping
        Metadata by dotted name; CRPIX of the image is kept.
    **accuracy
        What `gwcs.WCS.to_fits_sip` takes: degrees, largest errors, number of points.

    Returns
    -------
    dict
        By lower-case keyword; `sipmxerr` and `sipiverr` are the largest errors in pixels, from pixels
        to the sky and back.

    Raises
    ------
    ValueError, RuntimeError
        When no polynomial is as accurate as asked.
    """
    crpix = [meta.get(f"meta.wcsinfo.crpix{axis}") for axis in (1, 2)]
    for name in ("degree", "inv_degree"):
        accuracy[name] = accuracy[name] or range(1, LARGEST_DEGREE + 1)
    known = None if None in crpix else crpix
    with warnings.catch_warnings():
        # Who asks for more accuracy than there is learns it from `sipmxerr` and `sipiverr`.
        warnings.filterwarnings("ignore", message="Failed to achieve requested SIP")
        warnings.filterwarnings("ignore", message="Double sampling check FAILED")
        # gwcs solves in extended precision, which SciPy 1.18 advises against: nothing for the user.
        warnings.filterwarnings("ignore", "Calling _?lu_", DeprecationWarning)
        header = wcs.to_fits_sip(crpix=known, projection="TAN", **accuracy)
    return {
        name.lower(): float(value) if isinstance(value, float) else value
        for name, value in header.items()
        if not name.startswith("NAXIS")
    }
