"""The gwcs of one slit of NIRSpec, and where its light falls.

From the grating wheel to the slit all that a slit has of its own are two short polynomials along it:
the place y, and the direction a_in of its light, by the direction b of what comes from the camera. On
the way back light of any place goes through the collimator that all slits share.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from stpipe.science.wcs.nirspec import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.modeling import Model
    from astropy.modeling.models import Polynomial1D
    from gwcs import WCS

    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles
    from stpipe.science.wcs.nirspec.optics import Link, Optics
    from stpipe.science.wcs.nirspec.slits import OpenSlit

__all__ = [
    "Box",
    "Entrance",
    "bounding_box",
    "cutout_pixels",
    "cutout_wcs",
    "falls_on_detector",
    "lit_pixels",
    "place_of_row",
    "shutter_entrance",
    "slit_wcs",
]

Indices: TypeAlias = npt.NDArray[np.int64]
Box = tuple[tuple[float, float], tuple[float, float]]  # limits of x, then of y

SAMPLES, DEGREE = 101, 5  # of the polynomials along a slit: 1e-13 of what they describe
STEP = 1e-10  # m, between the wavelengths that trace the outline of a slit
MARGINS = ((11, 9), (3, 1))  # pixels below and above the light, along x and y
LAST = 2047
FEWEST_COLUMNS = 2  # that a spectrum has


@dataclass(frozen=True)
class Entrance:
    """A slit as the optics see it.

    Attributes
    ----------
    limits : (float, float)
        Lowest and highest place along it, in its heights.
    to_wheel : Model
        (x, y, wavelength in m) in the slit to direction cosines at the grating wheel.
    beyond : sequence of links
        From the slit's frame on, to the sky.
    """

    limits: tuple[float, float]
    to_wheel: Model
    beyond: Sequence[Link]

    def along(self, wavelength: float) -> tuple[Polynomial1D, Polynomial1D]:
        """What a slit has of its own, for the middle of its width.

        Parameters
        ----------
        wavelength : float, m

        Returns
        -------
        place : Polynomial1D
            y by b_out, the second direction cosine of the light that leaves the wheel.
        entry : Polynomial1D
            a_in, the first one of the light that comes, by y.
        """
        y = np.linspace(*self.limits, SAMPLES)
        a, b, _ = self.to_wheel(np.zeros_like(y), y, np.full_like(y, wavelength))
        return _fitted(-b, y), _fitted(y, a, plain=True)


def _fitted(x: Doubles, y: Doubles, *, plain: bool = False) -> Polynomial1D:
    """The polynomial through values; on a unit interval unless it has to be plain."""
    from astropy.modeling.models import Polynomial1D
    from numpy.polynomial import Polynomial

    fit = Polynomial.fit(x, y, DEGREE)
    if plain:
        coefficients = fit.convert().coef
        terms = {f"c{k}": float(c) for k, c in enumerate(coefficients)}
        return Polynomial1D(len(coefficients) - 1, **terms)
    terms = {f"c{k}": float(c) for k, c in enumerate(fit.coef)}
    return Polynomial1D(DEGREE, domain=tuple(map(float, fit.domain)), window=(-1, 1), **terms)


def place_of_row(row: np.void) -> Model:
    """Widths and heights of a slit to m, by its row of a table (XC, YC, SIZEX, SIZEY).

    Parameters
    ----------
    row : numpy.void
        Of the MSA or IFUSLICER reference.

    Returns
    -------
    astropy.modeling.Model
    """
    from astropy.modeling.models import Scale, Shift

    _, x, y, width, height = (float(each) for each in row.item())
    return Scale(width) & Scale(height) | Shift(x) & Shift(y)


def shutter_entrance(slit: OpenSlit, msa: CutReference, optics: Optics) -> Entrance:
    """A fixed slit, or a slitlet of the shutters.

    Parameters
    ----------
    slit : OpenSlit
    msa : CutReference
        The MSA reference.
    optics : Optics

    Returns
    -------
    Entrance
    """
    from astropy.modeling.models import Identity, Mapping

    quadrant = getattr(msa, f"Q{slit.quadrant}")
    plane = place_of_row(quadrant.data[slit.number]) | quadrant.model
    return Entrance(
        limits=(slit.ymin, slit.ymax),
        to_wheel=Mapping((0, 1), n_inputs=3) | plane | optics.from_shutters,
        beyond=((frames.slit(), plane & Identity(1)), *optics.to_sky),
    )


def slit_wcs(entrance: Entrance, optics: Optics) -> WCS:
    """The gwcs of a slit: detector, sca, gwa, slit_frame, msa_frame, oteip, v2v3, v2v3vacorr, world.

    Parameters
    ----------
    entrance : Entrance
    optics : Optics

    Returns
    -------
    gwcs.WCS
        To right ascension and declination in degrees and the wavelength in um; of lamps to places in
        the plane of the shutters in m and the wavelength in um.
    """
    from astropy.modeling.models import Shift
    from gwcs import WCS

    # Its own shift, by nothing here: gwcs keeps the bounding box with the first transform.
    pixels = Shift(0) & Shift(0) | optics.to_sca
    return WCS(
        [
            (frames.pixels("detector"), pixels),
            (frames.pixels("sca"), optics.to_wheel),
            (frames.wheel(), _into_slit(entrance, optics)),
            *entrance.beyond,
        ]
    )


def _into_slit(entrance: Entrance, optics: Optics) -> Model:
    """Direction cosines of what leaves the wheel to the place in the slit and the wavelength."""
    from astropy.modeling.models import Const1D, Identity, Mapping, Scale, Tabular1D

    place, entry = entrance.along(optics.band.middle)
    limits = list(entrance.limits)
    within = Tabular1D(limits, limits, bounds_error=False)  # NaN beyond the ends
    wavelength = optics.disperser.wavelength(entry, optics.scale)
    transform = (
        Mapping((1, 0, 1), n_inputs=3)
        | (place | within) & Identity(2)  # y, a_out, b_out
        | Mapping((0, 0, 0, 1, 2))
        | Const1D(0) & Identity(1) & wavelength
    )
    observed = Identity(2) & Scale(1 / optics.scale)
    transform.inverse = (
        observed
        | Mapping((2, 0, 1, 2))
        | Identity(1) & entrance.to_wheel
        | optics.disperser.directions()
    )
    return transform


# --- where light falls ----------------------------------------------------------------------------


def falls_on_detector(wcs: WCS, entrance: Entrance, optics: Optics) -> bool:
    """Whether light of the slit reaches at least two columns and a row of the detector.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the slit.
    entrance : Entrance
    optics : Optics

    Returns
    -------
    bool
    """
    x, y = _outline(wcs, entrance, optics)
    (left, right), (low, high) = _padded(x, y)
    meets = left <= LAST and low <= LAST and right > 0 and high > 0
    return meets and right - left >= FEWEST_COLUMNS and high - low >= 1


def bounding_box(wcs: WCS, entrance: Entrance, optics: Optics) -> Box:
    """Limits of the pixels that light of the slit falls on, with a margin.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the slit.
    entrance : Entrance
    optics : Optics

    Returns
    -------
    ((float, float), (float, float)), pixels from 0
        Limits of x, then of y.
    """
    return _lit_box(wcs, entrance, optics)[0]


def lit_pixels(wcs: WCS, entrance: Entrance, optics: Optics) -> tuple[Indices, Indices]:
    """The pixels within its bounding box that light of the slit falls on.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the slit.
    entrance : Entrance
    optics : Optics

    Returns
    -------
    rows, columns : (pixels,) int64
    """
    box, rows, columns = _lit_box(wcs, entrance, optics)
    (left, right), (low, high) = box
    inside = (rows >= low) & (rows <= high) & (columns >= left) & (columns <= right)
    return rows[inside], columns[inside]


def _lit_box(wcs: WCS, entrance: Entrance, optics: Optics) -> tuple[Box, Indices, Indices]:
    """The bounding box, and the pixels that light falls on."""
    x, y = _outline(wcs, entrance, optics)
    box = _padded(x, y)
    rows, columns = _lit(wcs, box)
    return _padded(x, rows) if rows.size else box, rows, columns


def _lit(wcs: WCS, box: Box) -> tuple[Indices, Indices]:
    """The pixels with their centre in a box that light of the slit falls on: that have a wavelength.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the slit.
    box : ((float, float), (float, float)), pixels from 0
        Limits of x, then of y.

    Returns
    -------
    rows, columns : (pixels,) int64
    """
    x, y = (np.arange(np.ceil(low), np.floor(high) + 1, dtype=np.int64) for low, high in box)
    rows, columns = np.meshgrid(y, x, indexing="ij")
    to_slit = wcs.get_transform("detector", "slit_frame")
    seen = np.isfinite(to_slit(columns.astype(float), rows.astype(float))[2])
    return rows[seen], columns[seen]


def _outline(wcs: WCS, entrance: Entrance, optics: Optics) -> tuple[Doubles, Doubles]:
    """Pixels that light from both ends of the slit falls on, at all wavelengths."""
    low, high = optics.band.limits
    waves = np.linspace(low, high, int((high - low) / STEP)) * optics.unit
    ends = np.repeat(entrance.limits, waves.size)
    to_pixels = wcs.get_transform("slit_frame", "detector")
    x, y = to_pixels(np.zeros_like(ends), ends, np.tile(waves, 2))
    return x, y


def _padded(x: Doubles, y: Doubles | Indices) -> Box:
    """Limits of pixels with a margin, within the detector."""
    found = []
    for values, (below, above) in zip((x, y), MARGINS, strict=True):
        low, high = float(np.min(values)) - below, float(np.max(values)) + above
        found.append((max(0.0, low) - 0.5, min(float(LAST), high) + 0.5))
    return found[0], found[1]


# --- a cutout ---------------------------------------------------------------------------------------


def cutout_pixels(box: Box) -> tuple[slice, slice]:
    """The rows and columns that are cut out for a box: the pixels at its limits, by rounding.

    At the lower limits that may be a pixel whose middle is just outside, as in products of jwst; it
    belongs to the margin.

    Parameters
    ----------
    box : ((float, float), (float, float)), pixels from 0
        Limits of x, then of y.

    Returns
    -------
    rows, columns : slice
    """
    columns, rows = (slice(floor(low + 0.5), floor(high + 0.5)) for low, high in box)
    return rows, columns


def cutout_wcs(wcs: WCS, rows: slice, columns: slice) -> WCS:
    """The gwcs of the pixels of a slit alone; but for the shift it is that of the exposure.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the slit, in pixels of the exposure, by `slit_wcs`.
    rows, columns : slice
        The pixels that are cut out.

    Returns
    -------
    gwcs.WCS
    """
    from astropy.modeling.models import Shift
    from gwcs import WCS

    first, *others = wcs.pipeline
    shifted = Shift(columns.start) & Shift(rows.start) | first.transform.right
    links = [(first.frame, shifted), *((step.frame, step.transform) for step in others)]
    cutout = WCS(links)
    sizes = (columns.stop - columns.start, rows.stop - rows.start)
    cutout.bounding_box = tuple((-0.5, size - 0.5) for size in sizes)
    return cutout
