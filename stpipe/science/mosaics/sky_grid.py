"""The pixels of a mosaic: a tangential projection that holds all exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stpipe.errors import InputError
from stpipe.science.flux import ARCSEC2

if TYPE_CHECKING:
    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.models import ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles


__all__ = [
    "Grid",
    "GridOptions",
    "Limits",
    "common_grid",
    "corners_of",
    "fiducial",
    "from_file",
    "grid_for",
    "inside",
    "mean_scale",
    "pixel_map",
    "polygons_of",
    "stored_wcs",
]

Limits: TypeAlias = tuple[tuple[float, float], tuple[float, float]]  # of x, then of y
ORIENTATION = ("ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")
STEP = 32  # pixels between the points at which coordinates are computed; splines fill in the rest
FEWEST = 10  # points along a side
SMALLEST = 2  # pixels along a side of a mosaic
TRIANGLE = 3  # corners of the smallest polygon


@dataclass(frozen=True)
class GridOptions:
    """What the user asks of a mosaic's pixels; None where the exposures decide."""

    shape: tuple[int, int] | None = None  # rows, columns
    crpix: tuple[float, float] | None = None  # x, y of the reference point, from 0
    crval: tuple[float, float] | None = None  # its right ascension and declination, degrees
    rotation: float | None = None  # position angle of the y axis, degrees
    pixel_scale: float | None = None  # arcsec
    pixel_scale_ratio: float = 1.0  # scale over that of the first exposure
    output_wcs: str | None = None  # an ASDF file with a gwcs, in place of the last five


@dataclass(frozen=True)
class Grid:
    """A mosaic's gwcs and shape, the width of a pixel in arcsec, and its ratio to the inputs'."""

    wcs: WCS
    shape: tuple[int, int]
    scale: float
    ratio: float

    @property
    def variance_scale(self) -> float:
        """What variances are multiplied by, since larger pixels average more light."""
        return 1 / self.ratio**2

    def places(self, wcs: WCS, shape: tuple[int, int], number: int | None = None) -> Doubles:
        """Where pixels of an exposure fall.

        Parameters
        ----------
        wcs : gwcs.WCS
            Of the exposure.
        shape : (int, int)
            Rows and columns of the exposure.
        number : int, optional
            Of the exposure among those that the grid was made of.

        Returns
        -------
        (rows, columns, 2: x, y) float64, pixels of the grid from 0
            NaN: nowhere.
        """
        del number  # coordinates of images are interpolated, not kept
        return pixel_map(wcs, self, shape)


def common_grid(library: ModelLibrary, members: Sequence[int], options: GridOptions) -> Grid:
    """The pixels of a mosaic of members of a library.

    Parameters
    ----------
    library : ModelLibrary
    members : sequence of int
        Numbers of those that the mosaic is made of.
    options : GridOptions
        What is asked for.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        When there is none, or the first has no coordinates.
    """
    if not members:
        raise InputError("the association has no science members; a mosaic needs one.")
    regions = [library.metadata(n).get("meta.wcsinfo.s_region") for n in members]
    with library[members[0]] as first:
        wcs = first.meta.wcs
        if wcs is None:
            raise InputError(f"{library.path(members[0])} has no gwcs. Run assign_wcs.")
        if options.output_wcs is None:
            return grid_for(first.to_flat_dict(), wcs, regions, options)
        area = first.meta.photometry.pixelarea_steradians
        own = float(np.sqrt(area / ARCSEC2)) if area else mean_scale(wcs) * 3600
        return from_file(options.output_wcs, own, options.shape)


def grid_for(meta: FlatMetadata, wcs: WCS, regions: Sequence[str], options: GridOptions) -> Grid:
    """Pixels that hold all exposures, oriented as the first one.

    Parameters
    ----------
    meta : mapping
        Metadata of the first exposure by dotted name.
    wcs : gwcs.WCS
        Of the first exposure.
    regions : sequence of str
        S_REGION of every exposure.
    options : GridOptions
        What is asked for.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        When the header does not tell how the detector is turned.
    """
    info = _orientation(meta)
    corners = [corners_of(region) for region in regions]
    crval = options.crval or fiducial(np.vstack(corners))
    own = scale_at(wcs, (info["ra_ref"], info["dec_ref"]))
    if options.pixel_scale is None:
        scale, ratio = own * options.pixel_scale_ratio, options.pixel_scale_ratio
    else:
        scale = options.pixel_scale / 3600
        ratio = scale / mean_scale(wcs)
    turn = rotation_matrix(info, options.rotation)
    made = _projection(crval, scale, turn)
    box, shape, crpix = _extent(made, corners, crval, options)
    return Grid(_fits_wcs(wcs, (crval, crpix, scale, turn), box, shape), shape, scale * 3600, ratio)


def _orientation(meta: FlatMetadata) -> dict[str, float]:
    """How the detector lies on the sky."""
    info = {name: meta.get(f"meta.wcsinfo.{name}") for name in ORIENTATION}
    if lacking := [f"meta.wcsinfo.{name}" for name, value in info.items() if value is None]:
        raise InputError(
            f"{meta.get('meta.filename')} lacks {', '.join(lacking)}, by which a mosaic is turned. Add "
            "them, or give its coordinates with output_wcs."
        )
    return {name: float(value) for name, value in info.items() if value is not None}


def corners_of(region: str) -> Doubles:
    """Corners of all polygons of an S_REGION.

    Parameters
    ----------
    region : str

    Returns
    -------
    (n, 2: right ascension, declination) float64, degrees

    Raises
    ------
    InputError
        When it is not a text of polygons.
    """
    return np.vstack(polygons_of(region))


def polygons_of(region: str) -> list[Doubles]:
    """The polygons of an S_REGION: a mosaic of several parts has several.

    Parameters
    ----------
    region : str

    Returns
    -------
    list of (corners, 2: right ascension, declination) float64, degrees

    Raises
    ------
    InputError
        When it is not a text of polygons.
    """
    _, *parts = str(region).upper().split("POLYGON")
    try:
        numbers = [[float(word) for word in part.split() if not word.isalpha()] for part in parts]
        polygons = [np.array(values, dtype=np.float64).reshape(-1, 2) for values in numbers]
    except ValueError:
        polygons = []
    if not polygons or any(len(polygon) < TRIANGLE for polygon in polygons):
        raise InputError(
            f"S_REGION is {region!r}, allowed: POLYGON ICRS and pairs of degrees, three at least. "
            "Run assign_wcs."
        )
    return polygons


def fiducial(corners: Doubles) -> tuple[float, float]:
    """The middle of corners: of the box of their directions.

    Parameters
    ----------
    corners : (n, 2: right ascension, declination) float64, degrees

    Returns
    -------
    (float, float), degrees
        Right ascension and declination.
    """
    lon, lat = np.deg2rad(corners).T
    directions = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = (directions.max(axis=1) + directions.min(axis=1)) / 2
    return float(np.rad2deg(np.arctan2(y, x)) % 360), float(
        np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    )


def scale_at(wcs: WCS, sky: tuple[float, float]) -> float:
    """Geometric mean of the width and height of a pixel, in degrees, at a place in the sky.

    Parameters
    ----------
    wcs : gwcs.WCS
    sky : (float, float), degrees
        Right ascension and declination.

    Returns
    -------
    float, degrees
    """
    from astropy.coordinates import angular_separation

    x, y = wcs.invert(*sky, with_bounding_box=False)
    ra, dec = np.deg2rad(wcs([x, x + 1, x], [y, y, y + 1], with_bounding_box=False))
    width, height = angular_separation(ra[0], dec[0], ra[1:], dec[1:])
    return float(np.rad2deg(np.sqrt(width * height)))


def mean_scale(wcs: WCS) -> float:
    """Root of the mean area of the pixels of an image, in degrees.

    Parameters
    ----------
    wcs : gwcs.WCS
        With a bounding box.

    Returns
    -------
    float, degrees
    """
    (x0, x1), (y0, y1) = wcs.bounding_box
    x0, y0, x1, y1 = int(x0 + 0.5), int(y0 + 0.5), int(x1 - 0.5), int(y1 - 0.5)
    edge = np.linspace(0, 1, 16, endpoint=False)
    x = np.concatenate(
        [x0 + edge * (x1 - x0), np.full(16, x1), x1 - edge * (x1 - x0), np.full(16, x0)]
    )
    y = np.concatenate(
        [np.full(16, y0), y0 + edge * (y1 - y0), np.full(16, y1), y1 - edge * (y1 - y0)]
    )
    ra, dec = wcs(x, y)
    return float(np.sqrt(_area(ra, dec) / ((x1 - x0) * (y1 - y0))))


def _area(ra: Doubles, dec: Doubles) -> float:
    """Area in square degrees of a small polygon: in the tangential plane of its middle."""
    lon0, lat0 = fiducial(np.column_stack([ra, dec]))
    lon, lat = np.deg2rad(ra - lon0), np.deg2rad(dec)
    cos0, sin0 = np.cos(np.deg2rad(lat0)), np.sin(np.deg2rad(lat0))
    along = sin0 * np.sin(lat) + cos0 * np.cos(lat) * np.cos(lon)
    # Lambert's projection keeps areas.
    stretch = np.sqrt(2 / (1 + along))
    x = stretch * np.cos(lat) * np.sin(lon)
    y = stretch * (cos0 * np.sin(lat) - sin0 * np.cos(lat) * np.cos(lon))
    twice = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    return float(np.rad2deg(np.rad2deg(abs(twice) / 2)))


def rotation_matrix(info: Mapping[str, float], rotation: float | None) -> Doubles:
    """From pixels to east and north: as the detector is turned, or as the user wants the y axis.

    Parameters
    ----------
    info : mapping of float
        ROLL_REF and V3I_YANG in degrees, and VPARITY, as `roll_ref`, `v3yangle` and `vparity`.
    rotation : float or None, degrees
        Position angle of the y axis; None: the detector's.

    Returns
    -------
    (2, 2) float64
        The PC matrix of FITS.
    """
    angle, parity = np.deg2rad(info["v3yangle"]), info["vparity"]
    roll = info["roll_ref"] if rotation is None else rotation
    turn = np.deg2rad(roll) - (parity * angle if rotation is None else 0.0)
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.array([[parity * cosine, sine], [-parity * sine, cosine]])


def _projection(crval: tuple[float, float], scale: float, turn: Doubles) -> Model:
    from astropy.modeling.models import (
        AffineTransformation2D,
        Pix2Sky_TAN,
        RotateNative2Celestial,
        Scale,
    )

    plane = AffineTransformation2D(matrix=turn) | Scale(scale) & Scale(scale)
    return plane | Pix2Sky_TAN() | RotateNative2Celestial(*crval, 180)


def _extent(
    projection: Model, corners: Sequence[Doubles], crval: tuple[float, float], options: GridOptions
) -> tuple[Limits, tuple[int, int], tuple[float, float]]:
    """Bounding box (x, y), shape and reference pixel of a grid that holds all corners."""
    places = np.hstack([projection.inverse(*c.T) for c in corners])
    low, high = places.min(axis=1), places.max(axis=1)
    here = np.array(projection.inverse(*crval))
    shift = here - low if options.crpix is None else np.array(options.crpix) - here
    low, high = low + shift, high + shift
    if options.shape is None:
        columns, rows = (int(edge + 0.5) for edge in high)
        box = ((-0.5, columns - 0.5), (-0.5, rows - 0.5))
    else:
        rows, columns = options.shape
        ends = zip(low, high, (columns, rows), strict=True)
        box = tuple((max(0, int(a + 0.5)) - 0.5, min(int(b + 0.5), n) - 0.5) for a, b, n in ends)  # type: ignore[assignment] # two
    if min(rows, columns) < SMALLEST:
        raise InputError(
            f"the mosaic would have {rows} x {columns} pixels, allowed: {SMALLEST} or more along each "
            "side. Ask for smaller pixels or another reference point."
        )
    return box, (rows, columns), (float(shift[0]), float(shift[1]))


def _fits_wcs(
    reference: WCS,
    place: tuple[tuple[float, float], tuple[float, float], float, Doubles],
    box: Limits,
    shape: tuple[int, int],
) -> WCS:
    """A tangential projection: `place` is its CRVAL, CRPIX, degrees per pixel and rotation."""
    from astropy.modeling.models import Pix2Sky_TAN
    from gwcs import WCS
    from gwcs.fitswcs import FITSImagingWCSTransform

    crval, crpix, scale, turn = place
    transform = FITSImagingWCSTransform(
        Pix2Sky_TAN(), crpix=crpix, crval=crval, cdelt=[scale, scale], pc=turn
    )
    wcs = WCS([(reference.input_frame, transform), (reference.output_frame, None)])
    wcs.bounding_box = box
    wcs.pixel_shape = shape[::-1]
    return wcs


def from_file(path: str, own: float, shape: tuple[int, int] | None) -> Grid:
    """The grid of an ASDF file, see `stored_wcs`.

    Parameters
    ----------
    path : str
    own : float, arcsec
        Width of a pixel of the exposures.
    shape : (int, int) or None
        Rows and columns, where the user says them.

    Returns
    -------
    Grid
    """
    wcs, found, scale = stored_wcs(path, shape)
    scale = scale or mean_scale(wcs) * 3600
    return Grid(wcs, found, scale, scale / own)


def stored_wcs(
    path: str, shape: tuple[int, int] | None
) -> tuple[Any, tuple[int, int], float | None]:
    """The gwcs `wcs` of an ASDF file, its shape, and the width of pixels.

    The shape is that of the gwcs, or `array_shape` or `pixel_shape` (columns first) of the file, or
    what the bounding box holds. Pixels are `pixel_scale` arcsec wide, or the root of `pixel_area`.

    Parameters
    ----------
    path : str
    shape : (int, int) or None
        Rows and columns, which go before those of the file.

    Returns
    -------
    wcs : gwcs.WCS
    shape : (int, int)
        Rows and columns.
    scale : float or None, arcsec
        Width of a pixel; None where the file does not tell.

    Raises
    ------
    InputError
        When there is none in it, or the shape is neither there nor given.
    """
    import asdf

    try:
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            tree = {name: file.tree.get(name) for name in ("wcs", *_ABOUT_PIXELS)}
    except (OSError, ValueError) as error:
        raise InputError(f"output_wcs: {path} is no readable ASDF file: {error}.") from None
    wcs = tree["wcs"]
    found = None if wcs is None else shape or _shape_of(wcs, tree)
    if found is None:
        raise InputError(
            f"output_wcs: {path} holds {'no shape' if wcs is not None else 'no gwcs'}; it needs `wcs` "
            "with array_shape. Give output_shape, or another file."
        )
    wcs.array_shape = found
    if wcs.bounding_box is None:
        wcs.bounding_box = tuple((-0.5, size - 0.5) for size in reversed(found))
    scale = tree["pixel_scale"] or np.sqrt(tree["pixel_area"] or 0)
    return wcs, found, float(scale) or None


_ABOUT_PIXELS = ("array_shape", "pixel_shape", "pixel_scale", "pixel_area")


def _shape_of(wcs: WCS, tree: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns, from the first that says them: the gwcs, its file, the bounding box."""
    if (found := wcs.array_shape or tree["array_shape"]) is not None:
        rows, columns = found
    elif tree["pixel_shape"] is not None:
        columns, rows = tree["pixel_shape"]
    elif wcs.bounding_box is not None:
        rows, columns = (high + 0.5 for _, high in wcs.bounding_box.bounding_box(order="C"))
    else:
        return None
    return int(rows), int(columns)


# --- where pixels of an exposure fall ----------------------------------------------------------------


def pixel_map(wcs: WCS, grid: Grid, shape: tuple[int, int]) -> Doubles:
    """Place in the mosaic of each pixel of an exposure.

    Coordinates are computed at points that are `STEP` pixels apart; cubic splines between them are
    exact to 1e-6 pixels for the distortion of cameras.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the exposure, with a bounding box.
    grid : Grid
        The pixels of the mosaic.
    shape : (int, int)
        Rows and columns of the exposure.

    Returns
    -------
    (rows, columns, 2: x, y) float64, pixels of the mosaic from 0
        NaN outside the bounding box.
    """
    from scipy.interpolate import RectBivariateSpline

    rows, columns = inside(wcs, shape)
    x, y = (np.linspace(s.start, s.stop - 1, _points(s.stop - s.start)) for s in (columns, rows))
    sky = wcs(*np.meshgrid(x, y), with_bounding_box=False)
    coarse = grid.wcs.invert(*sky, with_bounding_box=False)
    places = np.full((*shape, 2), np.nan)
    every = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    for axis, values in enumerate(coarse):
        degree = min(3, y.size - 1, x.size - 1)
        spline = RectBivariateSpline(y, x, values, kx=degree, ky=degree, s=0)
        places[rows, columns, axis] = spline(*every)
    return places


def inside(wcs: WCS, shape: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of an image that are in the bounding box.

    Parameters
    ----------
    wcs : gwcs.WCS
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    (slice, slice)
        Rows, columns.
    """
    found = []
    for limits, size in zip(wcs.bounding_box, shape[::-1], strict=True):
        low, high = (float(getattr(edge, "value", edge)) for edge in limits)
        found.append(slice(max(0, int(np.ceil(low))), min(size, int(np.floor(high)) + 1)))
    columns, rows = found
    return rows, columns


def _points(size: int) -> int:
    return max(int(np.ceil(size / STEP)) + 1, min(FEWEST, size))
