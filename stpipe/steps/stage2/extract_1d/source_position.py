"""Where the source of a slit should be on the detector, from the pointing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.wcs.pointing import dithered_v2v3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles

__all__ = [
    "Position",
    "find_in_slit",
    "find_nod",
    "find_nod_in_slit",
    "find_source",
    "middle_trace",
]


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
    across = _column_of(wcs, target)
    if not columns[0] <= across <= columns[1]:
        return None
    return Position(round(sum(rows) / 2), across, _trace(wcs, target, rows, size))


def find_nod(wcs: WCS, meta: FlatMetadata) -> float | None:
    """The column of the target where the other position of a nod has it, in the middle of the spectrum.

    That is as far on the other side of the slit's centre. None when it is not known, as in rectified
    spectra.

    Parameters
    ----------
    wcs
        As for `find_source`, with the frame `v2v3`.
    meta
        Metadata by dotted name; of use are the offsets of the dither.
    """
    offset = meta.get("meta.dither.x_offset")
    if offset is None or "v2v3" not in wcs.available_frames:
        return None
    mirrored: dict[str, Any] = {**meta, "meta.dither.x_offset": -offset}
    place = dithered_v2v3(mirrored)
    if place is None:
        return None
    ra, dec, _ = wcs.get_transform("v2v3", "world")(*place, 0.0)
    return _column_of(wcs, (ra, dec))


def _column_of(wcs: WCS, target: Sequence[float]) -> float:
    """The column of a place on the sky, at the mean wavelength in the middle of the spectrum."""
    columns, rows = (tuple(map(float, limits)) for limits in wcs.bounding_box)
    across = np.arange(np.ceil(columns[0]), np.floor(columns[1]) + 1)
    waves = wcs(across, np.full(across.size, sum(rows) / 2))[2]
    column, _ = wcs.invert(*target, float(np.nanmean(waves)), with_bounding_box=False)
    return float(column)


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
    place = _place_in_slit(meta)
    row = _row_of(wcs, place)
    if row is None or not rows[0] <= row <= rows[1]:
        return None
    return Position(round(sum(columns) / 2), row, _trace_in_slit(wcs, place, size))


def find_nod_in_slit(wcs: WCS, meta: FlatMetadata) -> float | None:
    """The row of the source where the other position of a nod has it, in the middle of the spectrum.

    That is as far on the other side of the slit's centre; None when that is not known.

    Parameters
    ----------
    wcs, meta
        As for `find_in_slit`.
    """
    x, y = _place_in_slit(meta)
    return _row_of(wcs, (x, -y))


def _place_in_slit(meta: FlatMetadata) -> tuple[float, float]:
    return (meta.get("source_xpos") or 0.0, meta.get("source_ypos") or 0.0)


def _row_of(wcs: WCS, place: tuple[float, float]) -> float | None:
    """The row of a place in the slit, at the mean wavelength in the middle of the spectrum."""
    columns, rows = wcs.bounding_box.bounding_box(order="F")
    across = np.arange(np.ceil(rows[0]), np.floor(rows[1]) + 1)
    waves = np.asarray(wcs(np.full(across.size, sum(columns) / 2), across)[2])
    if not np.isfinite(waves).any():
        return None
    unit = 1 / MICRON if "gwa" in wcs.available_frames else 1.0
    _, row = wcs.get_transform("slit_frame", "detector")(*place, float(np.nanmean(waves)) * unit)
    return float(row)


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


# --- without a source -----------------------------------------------------------------------------


def middle_trace(wcs: WCS, direction: int, size: int) -> Doubles:
    """Where the middle of a slit is at every pixel along the dispersion; NaN beyond the spectrum.

    Parameters
    ----------
    wcs
        As for `find_source` or `find_in_slit`, with a bounding box.
    direction
        DISPAXIS: 1 along rows, 2 along columns.
    size
        Pixels along the dispersion.
    """
    columns, rows = wcs.bounding_box.bounding_box(order="F")
    x, y = sum(columns) / 2, sum(rows) / 2
    if direction == HORIZONTAL:
        in_slit = wcs.get_transform("detector", "slit_frame")(x, y)
        return _trace_in_slit(wcs, (float(in_slit[0]), float(in_slit[1])), size)
    ra, dec, _ = wcs(x, y)
    return _trace(wcs, (ra, dec), rows, size)
