"""Where a source is in the spectrograph, from the image that verifies its acquisition.

The image shows how far the source is from where the pointing has it. Both exposures may be dithered,
and the image is taken through a filter, which moves it a little against the prism.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.wcs.pointing import dithered_v2v3

if TYPE_CHECKING:
    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Floats

__all__ = ["expected_places", "measured_place", "moved_sky"]

HALF = 10  # of the part of the image that is looked at, pixels
FEWEST = 10  # finite pixels for a centroid


def expected_places(wcs: WCS, meta: FlatMetadata) -> tuple[tuple[float, float], ...]:
    """Where the pointing has the target, and where it would be without its dither.

    Parameters
    ----------
    wcs : gwcs.WCS
        From pixels to right ascension and declination, with the frame `v2v3`; of spectra also to
        wavelengths, of which the one in the middle of the bounding box is taken.
    meta : mapping
        Metadata by dotted name: the offsets of the dither, and the pointing (RA_REF, DEC_REF).

    Returns
    -------
    ((float, float), (float, float)), pixels from 0
        x and y of both. They are equal without offsets of a dither.
    """
    wave: tuple[float, ...] = ()
    if wcs.output_frame.naxes > 2:  # noqa: PLR2004 - with a wavelength
        columns, rows = wcs.bounding_box.bounding_box(order="F")
        wave = (float(wcs(sum(columns) / 2, sum(rows) / 2)[2]),)
    nominal = (meta["meta.wcsinfo.ra_ref"], meta["meta.wcsinfo.dec_ref"])
    place = dithered_v2v3(meta)
    dithered = nominal
    if place is not None:
        dithered = wcs.get_transform("v2v3", "world")(*place, *wave)[:2]
    to_pixels = wcs.get_transform("world", wcs.available_frames[0])
    x, y = np.array([to_pixels(*sky, *wave)[:2] for sky in (dithered, nominal)]).T.tolist()
    return (x[0], y[0]), (x[1], y[1])


def measured_place(image: Floats, place: tuple[float, float]) -> tuple[float, float] | None:
    """The centroid of a source near a place: that of a Gaussian fitted to 20 by 20 pixels.

    Parameters
    ----------
    image : (rows, columns) float32
        NaN where there is no value.
    place : (float, float), pixels from 0
        x, y.

    Returns
    -------
    (float, float) or None, pixels from 0
        x, y; None where too few pixels have values, or the fit leads out of them.
    """
    from photutils.centroids import centroid_2dg

    x, y = (round(axis) for axis in place)
    rows, columns = image.shape
    left, low = max(0, x - HALF), max(0, y - HALF)
    right, high = min(columns, x + HALF), min(rows, y + HALF)
    if right <= left or high <= low:
        return None
    part = image[low:high, left:right].astype(np.float64)
    if np.isfinite(part).sum() < FEWEST:
        return None
    column, row = centroid_2dg(part, mask=~np.isfinite(part))
    if not (0 <= column <= part.shape[1] - 1 and 0 <= row <= part.shape[0] - 1):
        return None
    return float(column) + left, float(row) + low


def moved_sky(wcs: WCS, expected: tuple[float, float], found: tuple[float, float]) -> WCS:
    """The coordinates of spectra whose source is at `found`, by the pointing it were at `expected`.

    Parameters
    ----------
    wcs : gwcs.WCS
        From pixels to right ascension, declination (degrees) and wavelength (um).
    expected, found : (float, float), pixels from 0

    Returns
    -------
    gwcs.WCS
        The same, with all places moved by the same angle in right ascension and declination.
    """
    from astropy.modeling.models import Identity, Shift
    from gwcs import WCS

    there, here = (
        np.array(wcs(*place, with_bounding_box=False)[:2]) for place in (expected, found)
    )
    move = Shift(there[0] - here[0]) & Shift(there[1] - here[1]) & Identity(1)
    steps: list[tuple[object, Model | None]] = [
        (step.frame, step.transform) for step in wcs.pipeline
    ]
    frame, last = steps[-2]
    steps[-2] = (frame, last | move)
    moved = WCS(steps)
    moved.bounding_box = wcs.bounding_box
    return moved
