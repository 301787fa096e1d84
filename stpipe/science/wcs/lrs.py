"""The world coordinate system of MIRI's low-resolution spectra, with a slit and without.

Pixels lead to the place along the slit (alpha, arcsec) and the wavelength (um), then over V2, V3 to
the sky. Across the slit (beta) everything is at 0. Wavelengths and the curvature of the trace come
from the table of a SPECWCS reference (Kendrew et al. 2015), the scale along the slit from the
distortion of the imager at the slit's centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.wcs.imaging import detector_frame, polygon, subarray_shift, v2v3_frame
from stpipe.science.wcs.pointing import dithered_v2v3, to_sky

if TYPE_CHECKING:
    from astropy.modeling import Model
    from gwcs import WCS
    from gwcs.coordinate_frames import CompositeFrame, SpectralFrame

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.wcs.imaging import Limits

__all__ = [
    "dithered_position",
    "lrs_wcs",
    "reference_point",
    "s_region",
    "velocity_factor",
    "wavelengths",
    "world_frame",
]

SMOOTHNESS = 0.002  # sum of squared residuals of the splines through the table, pixel^2 or um^2
REFERENCE_COLUMNS = 4  # not lit, at the left of the slitless subarray
SPEED_OF_LIGHT = 299_792_458.0  # m/s


@dataclass(frozen=True)
class Slit:
    """Where the slit is and how it is dispersed, in 0-based pixels of the exposure."""

    centre: tuple[float, float]  # x, y
    scale: float  # arcsec per pixel along the slit
    to_v2v3: Model  # from pixels
    box: Limits  # limits of x, then of y
    shift: Model  # of the trace in x, by y
    wavelength: Model  # by y


def lrs_wcs(meta: FlatMetadata, distortion: Model, specwcs: CutReference) -> WCS:
    """The gwcs of an LRS exposure: detector, alpha_beta, v2v3, v2v3vacorr, world.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    distortion : astropy.modeling.Model
        Of the imager, from pixels of the full frame, from 0, to V2, V3 in arcsec.
    specwcs : CutReference
        The SPECWCS reference.

    Returns
    -------
    gwcs.WCS
        To right ascension and declination in degrees and wavelength in um.
    """
    from astropy.modeling.models import Identity
    from gwcs import WCS

    slit = find_slit(meta, distortion, specwcs)
    aberration, sky = to_sky(meta)
    return WCS(
        [
            (detector_frame(), to_slit(slit)),
            (with_wavelength("alpha_beta"), from_slit(slit)),
            (with_wavelength("v2v3"), aberration & Identity(1)),
            (with_wavelength("v2v3vacorr"), sky & Identity(1)),
            (world_frame(), None),
        ]
    )


def find_slit(meta: FlatMetadata, distortion: Model, specwcs: CutReference) -> Slit:
    """Place the slit, or the nominal position of the slitless prism, in the exposure.

    Parameters
    ----------
    meta, distortion, specwcs
        As `lrs_wcs` takes them.

    Returns
    -------
    Slit
    """
    from astropy.modeling.models import Scale

    shift = subarray_shift(meta)
    to_v2v3 = distortion if shift is None else shift | distortion
    reference, table = specwcs.meta, specwcs.wavetable
    if slitless := meta["meta.exposure.type"].upper().endswith("SLITLESS"):
        full = (reference.x_ref_slitless - 1, reference.y_ref_slitless - 1)
        x, y = full if shift is None else map(float, shift.inverse(*full))
    else:
        x, y = reference.x_ref - 1, reference.y_ref - 1
    rows = table["y_center"] + y
    limits = (_below(table["y2"], y), _above(table["y0"], y)) if slitless else None
    columns = _lit(meta) if slitless else (_below(table["x0"], x), _above(table["x1"], x))
    return Slit(
        centre=(x, y),
        scale=_scale(to_v2v3, x, y),
        to_v2v3=to_v2v3,
        box=(columns, limits or (float(rows.min()), float(rows.max()))),
        shift=_smooth(rows, table["x_center"]),
        wavelength=_smooth(rows, table["wavelength"]) | Scale(velocity_factor(meta)),
    )


def _scale(to_v2v3: Model, x: float, y: float) -> float:
    (v2, v3), (next_v2, next_v3) = to_v2v3(x, y), to_v2v3(x + 1, y)
    return float(np.hypot(next_v2 - v2, next_v3 - v3))


def _below(values: Doubles, offset: float) -> float:
    return float(np.floor(values.min() + offset) - 0.5)


def _above(values: Doubles, offset: float) -> float:
    return float(np.ceil(values.max() + offset) + 0.5)


def _lit(meta: FlatMetadata) -> tuple[float, float]:
    """Limits of the columns of a slitless subarray that light reaches."""
    start, size = (meta[f"meta.subarray.{name}"] for name in ("xstart", "xsize"))
    return start - 1 + REFERENCE_COLUMNS - 0.5, size - 0.5


def _smooth(rows: Doubles, values: Doubles) -> Model:
    """A smooth curve through values at decreasing rows; NaN beyond the table."""
    from astropy.modeling.models import Tabular1D
    from scipy.interpolate import UnivariateSpline

    spline = UnivariateSpline(rows[::-1], values[::-1], s=SMOOTHNESS)
    return Tabular1D(points=rows, lookup_table=spline(rows), bounds_error=False, fill_value=np.nan)


def velocity_factor(meta: FlatMetadata) -> float:
    """Corrects wavelengths for VELOSYS, the observatory's velocity in m/s along the line of sight.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    float
        1 / (1 + v / c), as jwst has it; 1 where VELOSYS is not known.
    """
    return 1 / (1 + (meta.get("meta.wcsinfo.velosys") or 0.0) / SPEED_OF_LIGHT)


def to_slit(slit: Slit) -> Model:
    """The transform from pixels to alpha, beta and wavelength.

    Parameters
    ----------
    slit : Slit

    Returns
    -------
    astropy.modeling.Model
        From pixels, from 0, to arcsec, arcsec and um, with a bounding box.
    """
    from astropy.modeling import bind_bounding_box
    from astropy.modeling.models import Const1D, Mapping, Polynomial1D, Shift

    x, y = slit.centre
    # There and back again: later steps look up the reference point here.
    reference = (Shift(-x) & Shift(-y)) | (Shift(x) & Shift(y))
    straight = Mapping([0], n_inputs=2) - (Mapping([1], n_inputs=2) | slit.shift)
    alpha = straight | Shift(-x) | Polynomial1D(1, c0=0, c1=slit.scale)
    beta = Mapping([0], n_inputs=2) | Const1D(0)
    place = reference | Mapping((0, 1, 0, 1)) | alpha & beta
    transform = Mapping((0, 1, 1)) | place & slit.wavelength
    transform.inverse = _to_pixels(slit)
    bind_bounding_box(transform, slit.box, order="F")
    return transform


def _to_pixels(slit: Slit) -> Model:
    """The transform from alpha, beta and wavelength to pixels."""
    from astropy.modeling.models import Mapping, Polynomial1D, Shift

    row = slit.wavelength.inverse
    straight = Polynomial1D(1, c0=0, c1=1 / slit.scale) | Shift(slit.centre[0])
    bent = Mapping([0], n_inputs=2) + (Mapping([1], n_inputs=2) | slit.shift)
    columns = Mapping((0, 2)) | straight & row | bent
    rows = Mapping([2], n_inputs=3) | row
    return Mapping((0, 1, 2, 0, 1, 2)) | columns & rows


def from_slit(slit: Slit) -> Model:
    """The transform from alpha, beta and wavelength to V2, V3 and wavelength.

    Parameters
    ----------
    slit : Slit

    Returns
    -------
    astropy.modeling.Model
        From arcsec and um to arcsec and um.
    """
    from astropy.modeling.models import Identity, Mapping, Polynomial1D, Shift

    pixels = [Polynomial1D(1, c0=0, c1=1 / slit.scale) | Shift(c) for c in slit.centre]
    arcsec = [Shift(-c) | Polynomial1D(1, c0=0, c1=slit.scale) for c in slit.centre]
    there = (pixels[0] & pixels[1]) | slit.to_v2v3
    back = slit.to_v2v3.inverse | (arcsec[0] & arcsec[1])
    transform = Mapping((0, 1, 2)) | there & Identity(1)
    transform.inverse = Mapping((0, 1, 2)) | back & Identity(1)
    return transform


def with_wavelength(name: str) -> CompositeFrame:
    """A frame of two angles in arcsec and a wavelength in um."""
    from astropy import units
    from gwcs.coordinate_frames import CompositeFrame, Frame2D

    if name == "alpha_beta":
        unit, axes = (units.arcsec, units.arcsec), ("alpha", "beta")
        place = Frame2D(name=f"{name}_spatial", axes_order=(0, 1), unit=unit, axes_names=axes)
        return CompositeFrame([place, _spectral(f"{name}_spectral")], name=name)
    return CompositeFrame([v2v3_frame(f"{name}_spatial"), _spectral("spec")], name=name)


def _spectral(name: str) -> SpectralFrame:
    from astropy import units
    from gwcs.coordinate_frames import SpectralFrame

    return SpectralFrame(name=name, axes_order=(2,), unit=(units.micron,), axes_names=("lambda",))


def world_frame() -> CompositeFrame:
    """Right ascension and declination in degrees, and the wavelength in um.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    from astropy import units
    from astropy.coordinates import ICRS
    from gwcs.coordinate_frames import CelestialFrame, CompositeFrame

    sky = CelestialFrame(
        name="icrs",
        reference_frame=ICRS(),
        axes_order=(0, 1),
        unit=(units.deg, units.deg),
        axes_names=("RA", "DEC"),
    )
    return CompositeFrame([sky, _spectral("spec")], name="world")


# --- what follows from it -----------------------------------------------------------------------


def wavelengths(wcs: WCS, shape: tuple[int, ...]) -> Floats:
    """Wavelength of every pixel; NaN outside the slit.

    Parameters
    ----------
    wcs : gwcs.WCS
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    (rows, columns) float32, um
    """
    rows, columns = np.indices(shape, dtype=np.float64)
    return np.asarray(wcs(columns, rows)[2], dtype=np.float32)


def s_region(meta: FlatMetadata, wcs: WCS, specwcs: CutReference) -> str | None:
    """The outline of the slit on the sky, or of the subarray without a slit.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.
    wcs : gwcs.WCS
        Of the exposure.
    specwcs : CutReference
        The SPECWCS reference, which knows the corners of the slit in V2, V3.

    Returns
    -------
    str or None
        S_REGION; None where a corner is not known.
    """
    if meta["meta.exposure.type"].upper().endswith("SLITLESS"):
        corners = wcs.footprint(wcs.bounding_box, center=False, axis_type="spatial")
        return polygon(corners[:, 0], corners[:, 1])
    corners = [
        [getattr(specwcs.meta, f"{axis}_vert{corner}") for corner in (1, 2, 3, 4)]
        for axis in ("v2", "v3")
    ]
    if None in corners[0] + corners[1]:
        return None
    ra, dec, _ = wcs.transform("v2v3", "world", *map(np.array, corners), np.full(4, 7.0))
    return polygon(ra, dec)


def reference_point(wcs: WCS) -> tuple[float, float]:
    """The centre of the slit, or the nominal position without one.

    Parameters
    ----------
    wcs : gwcs.WCS
        By `lrs_wcs`, or of jwst: the first two shifts of both lead there.

    Returns
    -------
    (float, float), pixels from 0
        x, y.
    """
    transform = wcs.get_transform("detector", "world")
    return -float(transform.offset_1.value), -float(transform.offset_2.value)


def dithered_position(meta: FlatMetadata, wcs: WCS) -> dict[str, float]:
    """Where the target is after the dither: `dithered_ra` and `dithered_dec`.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name; the offsets of the dither are in arcsec of the aperture's ideal frame.
    wcs : gwcs.WCS
        Of the exposure.

    Returns
    -------
    dict of float, degrees
        Empty without the offsets.
    """
    place = dithered_v2v3(meta)
    if place is None:
        return {}
    ra, dec, _ = wcs.get_transform("v2v3", "world")(*place, 0.0)
    return {"dithered_ra": float(ra), "dithered_dec": float(dec)}
