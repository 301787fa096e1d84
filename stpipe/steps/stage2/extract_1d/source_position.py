"""Where the source of a slit should be on the detector, from the pointing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles

__all__ = ["Position", "find_in_slit", "find_source"]


@dataclass(frozen=True)
class Position:
    """A source in 0-based pixels along the dispersion and across it.

    `across` is where it is at the pixel `along`, in the middle of the spectrum; `trace` where it is
    at every pixel along the dispersion, NaN beyond the spectrum.
    """

    along: int
    across: float
    trace: Doubles


def find_source(wcs: WCS, meta: FlatMetadata, size: int) -> Position | None:
    """Where the target of a slit is that is dispersed along columns; None when that is not known.

    Parameters
    ----------
    wcs
        From pixels to right ascension, declination and wavelength, with a bounding box.
    meta
        Metadata by dotted name; of use are `meta.dither.dithered_ra` and `dithered_dec`, degrees.
    size
        Pixels along the dispersion.
    """
    target: list[Any] = [meta.get(f"meta.dither.dithered_{axis}") for axis in ("ra", "dec")]
    if None in target or wcs.bounding_box is None:
        return None
    columns, rows = (tuple(map(float, limits)) for limits in wcs.bounding_box)
    along = round((rows[0] + rows[1]) / 2)
    wavelength = _middle_wavelength(wcs, columns, (rows[0] + rows[1]) / 2)
    across, _ = wcs.invert(*target, wavelength, with_bounding_box=False)
    if not columns[0] <= across <= columns[1]:
        return None
    return Position(along, float(across), _trace(wcs, target, rows, size))


def _middle_wavelength(wcs: WCS, columns: tuple[float, ...], row: float) -> float:
    """Mean wavelength across the slit in the middle of the spectrum."""
    across = np.arange(np.ceil(columns[0]), np.floor(columns[1]) + 1)
    return float(np.nanmean(wcs(across, np.full(across.size, row))[2]))


def _trace(wcs: WCS, target: Sequence[float], rows: tuple[float, ...], size: int) -> Doubles:
    """Place across the dispersion at every pixel along it; NaN outside the bounding box."""
    along = np.arange(max(np.ceil(rows[0]), 0), min(np.floor(rows[1]), size - 1) + 1)
    middle = sum(map(float, wcs.bounding_box[0])) / 2
    waves = np.asarray(wcs(np.full(along.size, middle), along)[2])
    known = np.isfinite(waves)
    found, there = wcs.invert(
        *(np.full(known.sum(), place) for place in target), waves[known], with_bounding_box=False
    )
    order = np.argsort(there)
    trace = np.full(size, np.nan)
    trace[along.astype(int)] = np.interp(along, there[order], found[order])
    return trace


# --- NIRSpec --------------------------------------------------------------------------------------

MICRON = 1e6  # per m


def find_in_slit(wcs: WCS, meta: FlatMetadata, size: int) -> Position | None:
    """Where the source of a slit is that is dispersed along rows; None when it is outside.

    Parameters
    ----------
    wcs
        With the frame `slit_frame`: in m in cutouts, in um in rectified spectra.
    meta
        Metadata of the slit by dotted name, with `source_xpos` and `source_ypos`.
    size
        Pixels along the dispersion.
    """
    columns, rows = wcs.bounding_box.bounding_box(order="F")
    middle = (columns[0] + columns[1]) / 2
    across = np.arange(np.ceil(rows[0]), np.floor(rows[1]) + 1)
    waves = np.asarray(wcs(np.full(across.size, middle), across)[2])
    if not np.isfinite(waves).any():
        return None
    unit = 1 / MICRON if "gwa" in wcs.available_frames else 1.0
    place = (meta.get("source_xpos") or 0.0, meta.get("source_ypos") or 0.0)
    to_pixels = wcs.get_transform("slit_frame", "detector")
    _, y = to_pixels(*place, float(np.nanmean(waves)) * unit)
    if not rows[0] <= y <= rows[1]:
        return None
    trace = _trace_in_slit(wcs, place, size)
    return Position(round(middle), float(y), trace)


def _trace_in_slit(wcs: WCS, place: tuple[float, float], size: int) -> Doubles:
    """Row of the source in every column, linear beyond the wavelengths of the slit."""
    from scipy.interpolate import interp1d

    columns, rows = wcs.bounding_box.bounding_box(order="F")
    first, count = int(np.ceil(columns[0])), int(columns[1] - columns[0])
    grid = np.meshgrid(
        np.arange(first, first + count), np.arange(np.ceil(rows[0]), np.floor(rows[1]) + 1)
    )
    waves = wcs.get_transform("detector", "slit_frame")(*(axis.astype(float) for axis in grid))[2]
    asked = np.linspace(np.nanmin(waves), np.nanmax(waves), count)
    x, y = wcs.get_transform("slit_frame", "detector")(
        np.full(count, place[0]), np.full(count, place[1]), asked
    )
    known = np.isfinite(x) & np.isfinite(y)
    trace = np.full(size, np.nan)
    if known.sum() > 1:
        line = interp1d(x[known], y[known], fill_value="extrapolate")
        trace[first : first + count] = line(np.arange(count))
    return trace
