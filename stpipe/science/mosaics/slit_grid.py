"""The pixels of a rectified slit: wavelengths along one axis, places in the slit along the other.

Dispersion is along columns. Places are evenly spaced on a line through the slit in the tangential
projection of its middle. Wavelengths are those of the exposure's rows, so that rows stay rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.mosaics.sky_grid import (
    Grid,
    GridOptions,
    corners_of,
    inside,
    stored_wcs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.science.arrays import Doubles

__all__ = ["SlitGrid", "slit_grid", "slit_grid_of_file", "slit_outline", "slit_scale", "tangential"]

FEWEST = 2  # wavelengths
TURN = 360.0  # degrees
SPECTRAL_AXES = 3  # right ascension, declination, wavelength


@dataclass(frozen=True)
class SlitGrid(Grid):
    """Pixels of a rectified slit; `scale` and `ratio` are along the slit.

    As in STScI's products `ratio` is that of the exposure's scale to this one: large for small
    pixels.
    """

    @property
    def variance_scale(self) -> float:
        """What variances are multiplied by: one axis alone has pixels of another size."""
        return self.ratio

    def places(self, wcs: WCS, shape: tuple[int, int]) -> Doubles:
        """Where pixels of an exposure fall.

        Parameters
        ----------
        wcs : gwcs.WCS
            Of the exposure.
        shape : (int, int)
            Rows and columns of the exposure.

        Returns
        -------
        (rows, columns, 2: x, y) float64, pixels of the grid from 0
            NaN: nowhere.
        """
        lit = inside(wcs, shape)
        rows, columns = np.mgrid[lit].astype(np.float64)
        places = np.full((*shape, 2), np.nan)
        found = self.wcs.invert(*wcs(columns, rows), with_bounding_box=False)
        places[lit] = np.stack(found, axis=-1)
        return places


@dataclass(frozen=True)
class Line:
    """Where pixels along a slit are: at slopes times the distance from the middle.

    Attributes
    ----------
    centre
        Right ascension and declination of the middle of the slit, degrees.
    slopes
        Degrees per pixel along both axes of the tangential plane.
    size
        Pixels that hold the slit.
    """

    centre: tuple[float, float]
    slopes: tuple[float, float]
    size: int

    @property
    def steeper(self) -> int:
        """The axis that tells places apart the better."""
        return int(abs(self.slopes[0]) < abs(self.slopes[1]))


def slit_scale(wcs: WCS, direction: int, world: tuple[float, ...] | None = None) -> float:
    """Width of a pixel across the dispersion, degrees.

    Parameters
    ----------
    wcs : gwcs.WCS
        To right ascension, declination and wavelength.
    direction : {1, 2}
        DISPAXIS: 1 along rows, 2 along columns.
    world : (float, float, float), optional
        Right ascension and declination in degrees and wavelength in um of the place; by default the
        middle of the bounding box.

    Returns
    -------
    float, degrees
    """
    from astropy.coordinates import angular_separation

    if world is None:
        x, y = (float(np.mean([float(edge) for edge in limits])) for limits in wcs.bounding_box)
    else:
        x, y = (float(axis) for axis in wcs.invert(*world, with_bounding_box=False))
    other = (x, y + 1) if direction == HORIZONTAL else (x + 1, y)
    ra, dec, _ = wcs(*np.transpose([(x, y), other]), with_bounding_box=False)
    (ra, other_ra), (dec, other_dec) = np.deg2rad(ra), np.deg2rad(dec)
    return float(np.rad2deg(angular_separation(ra, dec, other_ra, other_dec)))


def slit_grid(exposures: Sequence[WCS], direction: int, options: GridOptions) -> SlitGrid:
    """Pixels that hold the slit in all exposures; their widths are those of the first.

    Parameters
    ----------
    exposures : sequence of gwcs.WCS
        To right ascension, declination and wavelength, with a bounding box.
    direction : {1, 2}
        DISPAXIS: 1 along rows, 2 along columns.
    options : GridOptions
        What is asked for: the scale along the slit, or the ratio to it, and the shape.

    Returns
    -------
    SlitGrid

    Raises
    ------
    InputError
        When no row has a wavelength.
    """
    from gwcs.wcstools import grid_from_bounding_box

    first, ratio = exposures[0], options.pixel_scale_ratio
    if options.pixel_scale is not None:
        ratio = slit_scale(first, direction) * 3600 / options.pixel_scale
    worlds = [np.asarray(wcs(*grid_from_bounding_box(wcs.bounding_box))) for wcs in exposures]
    lower, upper = (float(edge) for edge in first.bounding_box[1])
    table = _wavelengths([waves for *_, waves in worlds])
    line = _line([sky for *sky, _ in worlds], int((upper - lower) / 2), ratio)
    shape = options.shape or (table.size, line.size)
    made = _rectified(line, table, shape)
    return SlitGrid(made, shape, slit_scale(made, direction) * 3600, ratio)


def slit_grid_of_file(
    path: str, wcs: WCS, direction: int, shape: tuple[int, int] | None
) -> SlitGrid:
    """The grid of an ASDF file, see `stored_wcs`.

    Parameters
    ----------
    path : str
    wcs : gwcs.WCS
        Of the exposure.
    direction : {1, 2}
        DISPAXIS: 1 along rows, 2 along columns.
    shape : (int, int) or None
        Rows and columns, where the user says them.

    Returns
    -------
    SlitGrid

    Raises
    ------
    InputError
        When the gwcs of the file is not that of a spectrum.
    """
    stored, found, scale = stored_wcs(path, shape)
    if stored.output_frame.naxes != SPECTRAL_AXES:
        raise InputError(
            f"output_wcs: {path} holds a gwcs with {stored.output_frame.naxes} world axes, allowed: 3, "
            "two on the sky and a wavelength. Give that of a rectified spectrum."
        )
    scale = scale or slit_scale(stored, direction) * 3600
    return SlitGrid(stored, found, scale, slit_scale(wcs, direction) * 3600 / scale)


def _wavelengths(exposures: Sequence[Doubles]) -> Doubles:
    """Median wavelength of each row that has one, the longest first as on the detector.

    Rows are those of the first exposure, and those of others beyond its ends.
    """
    first, *others = map(_of_rows, exposures)
    if first.size < FEWEST:
        raise InputError(
            f"the slit has {first.size} rows with a wavelength, allowed: {FEWEST} or more. Check the "
            "SPECWCS reference, or the bounding box of the gwcs."
        )
    known = first
    for rows in others:
        known = np.append(known, rows[(rows < known.min()) | (rows > known.max())])
    return np.unique(known)[::-1]


def _of_rows(waves: Doubles) -> Doubles:
    """Median wavelength of each row that has one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        rows = np.nanmedian(waves, axis=1)
    known: Doubles = rows[np.isfinite(rows)]
    return known


def _line(exposures: Sequence[Sequence[Doubles]], row: int, ratio: float) -> Line:
    """The line through the pixels of a row of the first exposure, long enough for all rows of all.

    Right ascensions and declinations of each exposure (rows, columns).
    """
    ra, dec = exposures[0]
    middle = _mean_longitude(ra[row]), float(np.nanmean(dec[row]))
    here = np.array(tangential(middle).inverse(ra[row], dec[row]))
    here = here[:, np.isfinite(here[0])]
    # Equal steps for the pixels of the row, as many of them per pixel as is asked for.
    slopes = np.polynomial.polynomial.polyfit(ratio * np.arange(here.shape[1]), here.T, 1)[1]
    sky = [np.concatenate([each[axis].ravel() for each in exposures]) for axis in (0, 1)]
    centre = middle if len(exposures) == 1 else (_mid_longitude(sky[0]), _mid(sky[1]))
    plane = np.array(tangential(centre).inverse(*sky))
    steeper = int(abs(slopes[0]) < abs(slopes[1]))
    span = np.nanmax(plane[steeper]) - np.nanmin(plane[steeper])
    size = max(1, int(np.ceil(span / abs(slopes[steeper]))))
    return Line(centre, (float(slopes[0]), float(slopes[1])), size)


def _mean_longitude(ra: Doubles) -> float:
    """The mean of close right ascensions, on both sides of 0 h if need be."""
    return float(np.nanmean(_together(ra)))


def _mid_longitude(ra: Doubles) -> float:
    """The middle between the ends of close right ascensions."""
    return _mid(_together(ra))


def _mid(values: Doubles) -> float:
    return float(np.nanmin(values) + np.nanmax(values)) / 2


def _together(ra: Doubles) -> Doubles:
    """Close right ascensions without the leap at 0 h."""
    beyond = ra - np.nanmedian(ra)
    return ra - TURN * (beyond > TURN / 2) + TURN * (beyond < -TURN / 2)


def tangential(centre: tuple[float, float]) -> Model:
    """From a plane that touches the sky to the sky, both in degrees.

    Parameters
    ----------
    centre : (float, float), degrees
        Right ascension and declination of the point that touches.

    Returns
    -------
    astropy.modeling.Model
    """
    from astropy.modeling.models import Pix2Sky_TAN, RotateNative2Celestial

    return Pix2Sky_TAN() | RotateNative2Celestial(*centre, 180)


def _rectified(line: Line, waves: Doubles, shape: tuple[int, int]) -> Any:
    """The gwcs from pixels to the places of a line and to a table of wavelengths by row."""
    from astropy.modeling.models import Linear1D, Mapping
    from gwcs import WCS

    from stpipe.science.wcs.imaging import detector_frame
    from stpipe.science.wcs.lrs import world_frame

    middle = (line.size - 1) / 2
    x, y = (Linear1D(slope, -slope * middle) for slope in line.slopes)
    both = Mapping((0, 0, 1))
    # A slit along a meridian has one right ascension: places must be looked up by the other axis.
    both.inverse = Mapping((line.steeper, 2), n_inputs=3)
    transform = both | (x & y | tangential(line.centre)) & _by_row(waves)
    wcs = WCS([(detector_frame(), transform), (world_frame(), None)])
    wcs.bounding_box = tuple((-0.5, size - 0.5) for size in shape[::-1])
    wcs.array_shape = shape
    return wcs


def _by_row(waves: Doubles) -> Any:
    """From rows to falling wavelengths and back, linear beyond the ends."""
    from astropy.modeling.models import Tabular1D

    def table(points: Doubles, values: Doubles) -> Any:
        return Tabular1D(points, values, bounds_error=False, fill_value=None)

    rows = np.arange(waves.size, dtype=np.float64)
    there = table(rows, waves)
    there.inverse = table(waves[::-1], rows[::-1])
    return there


def slit_outline(region: str, grid: Grid) -> str | None:
    """S_REGION of a rectified slit: as long as the grid, as wide as the outline `region`.

    Parameters
    ----------
    region : str
        S_REGION of the exposure.
    grid : Grid
        The pixels of the rectified slit.

    Returns
    -------
    str or None
        None where a corner is not known.
    """
    from astropy import units
    from astropy.coordinates import SkyCoord

    from stpipe.science.wcs.imaging import polygon

    corners = SkyCoord(corners_of(region), unit="deg")
    half = min(corners.separation(np.roll(corners, 1))) / 2
    last = [size - 1.0 for size in grid.shape[::-1]]
    ends = SkyCoord(*grid.wcs(*np.transpose([(0.0, 0.0), last]))[:2], unit="deg")
    across = ends[0].position_angle(ends[1]) - 90 * units.deg
    one, other = (ends.directional_offset_by(across, side) for side in (half, -half))
    ring = [one[0], one[1], other[1], other[0]]
    return polygon(np.array([c.ra.deg for c in ring]), np.array([c.dec.deg for c in ring]))
