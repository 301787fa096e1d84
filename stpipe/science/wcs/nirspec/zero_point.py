"""Wavelengths of a point source that is not in the middle of its slit.

The gwcs of a slit has the wavelength of light that comes through the middle of its width. Light of a
source beside it falls on the detector as far beside, and has another wavelength there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.wcs.nirspec import frames

if TYPE_CHECKING:
    from astropy.modeling import Model
    from astropy.modeling.models import Tabular1D
    from gwcs import WCS

    from stpipe.science.arrays import Doubles

__all__ = ["corrected"]

SLIT = "slit_frame"
FEWEST_COLUMNS = 2  # that a table needs
MICRON = 1e6  # per m


def corrected(wcs: WCS, offset: Model, place: float) -> tuple[WCS, Doubles] | None:
    """The gwcs with wavelengths of the source: the frame `wavecorr_frame` follows `slit_frame`.

    A table leads from wavelengths of the middle of the slit to those of the source. Its entries are
    the columns: the mean over the rows, shifted by as many pixels as `offset` has for it. It goes on
    linearly beyond its ends.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the pixels of the slit, with a bounding box.
    offset : astropy.modeling.models.Tabular2D
        Pixels, by wavelength in m and place of the source; it, too, goes on linearly.
    place : float
        Of the source, in widths of the slit from its centre.

    Returns
    -------
    (gwcs.WCS, (rows, columns) float64) or None
        With the wavelength of every pixel, um. None when wavelengths of the source would not increase
        with those of the middle, so that there would be no way back, or when there are none.
    """
    (left, right), (low, high) = wcs.bounding_box.bounding_box(order="F")
    halves = np.arange(left, right + 0.25, 0.5)  # edges and middles of the columns, by turns
    waves = _waves(wcs, halves, np.arange(low + 0.5, high))
    middle, width = waves[:, 1::2], np.diff(waves[:, ::2], axis=1)
    table = _table(_mean(middle), _mean(width), offset, place)
    return None if table is None else (_with(wcs, table), table(middle) * MICRON)


def _waves(wcs: WCS, columns: Doubles, rows: Doubles) -> Doubles:
    """Wavelengths (rows, columns) of the middle of the slit, in m."""
    x, y = np.meshgrid(columns, rows)
    return np.asarray(wcs.get_transform("detector", SLIT)(x, y)[2])


def _table(middle: Doubles, width: Doubles, offset: Model, place: float) -> Tabular1D | None:
    """Wavelengths of the source by those of the middle of the slit, both in m."""
    from astropy.modeling.models import Tabular1D

    lit = np.isfinite(middle) & np.isfinite(width)
    endless = offset.copy()
    endless.bounds_error, endless.fill_value = False, None
    found = middle[lit] + endless(middle[lit], np.full(lit.sum(), place)) * width[lit]
    if found.size < FEWEST_COLUMNS or not np.all(np.diff(found) > 0):
        return None
    return Tabular1D(middle[lit], found, bounds_error=False, fill_value=None)


def _mean(values: Doubles) -> Doubles:
    """The mean of each column over the rows that have a value; NaN without one."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=0) / known.sum(axis=0))


def _with(wcs: WCS, table: Tabular1D) -> WCS:
    """The gwcs with the table between the slit and the plane of the shutters."""
    from astropy.modeling.models import Identity
    from gwcs import WCS

    links = []
    for step in wcs.pipeline:
        if step.frame.name == SLIT:
            links.append((step.frame, Identity(2) & table))
            links.append((frames.corrected_slit(), step.transform))
        else:
            links.append((step.frame, step.transform))
    made = WCS(links)
    made.bounding_box = wcs.bounding_box
    return made
