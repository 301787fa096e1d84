"""What a cube says of its grid: keywords of FITS, a gwcs, and the table of wavelengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gwcs import WCS

    from stpipe.models.protocols import Table
    from stpipe.science.cubes.grid import CubeGrid
    from stpipe.science.cubes.sampling import Reach

__all__ = ["cube_wcs", "grid_keywords", "wave_table", "weight_keywords"]

SQUARE_ARCSEC = 2.3504e-11  # sr, as in cubes of the archive


def grid_keywords(grid: CubeGrid) -> dict[str, Any]:
    """The grid in keywords of FITS, by dotted name.

    Parameters
    ----------
    grid : CubeGrid

    Returns
    -------
    dict
    """
    turn = np.radians(grid.plane.angle)
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    area = grid.spaxel[0] * grid.spaxel[1]
    info: dict[str, Any] = {
        "wcsaxes": 3,
        "ctype1": "RA---TAN",
        "ctype2": "DEC--TAN",
        "cunit1": "deg",
        "cunit2": "deg",
        "cunit3": "um",
        "crval1": grid.plane.ra,
        "crval2": grid.plane.dec,
        "crpix1": grid.x.size // 2 + 1.0,
        "crpix2": grid.y.size // 2 + 1.0,
        "crpix3": 1.0,
        "cdelt1": grid.spaxel[0] / 3600,
        "cdelt2": grid.spaxel[1] / 3600,
        "pc1_1": -cos,
        "pc1_2": sin,
        "pc2_1": sin,
        "pc2_2": cos,
        **dict.fromkeys(("pc1_3", "pc2_3", "pc3_1", "pc3_2"), 0.0),
        "pc3_3": 1.0,
    }
    if grid.step:
        info |= {"ctype3": "WAVE", "crval3": float(grid.z[0]), "cdelt3": grid.step}
    else:
        info |= {"ctype3": "WAVE-TAB", "crval3": 1.0, "cdelt3": None}
        info |= {"ps3_0": "WCS-TABLE", "ps3_1": "wavelength"}
    found = {f"meta.wcsinfo.{name}": value for name, value in info.items()}
    found["meta.photometry.pixelarea_arcsecsq"] = area
    found["meta.photometry.pixelarea_steradians"] = area * SQUARE_ARCSEC
    return found


def weight_keywords(weighting: str, reach: Reach | None) -> dict[str, Any]:
    """How pixels count, in keywords by dotted name.

    Parameters
    ----------
    weighting : {"drizzle", "emsm", "msm"}
    reach : Reach or None

    Returns
    -------
    dict
    """
    found: dict[str, Any] = {
        "flux_extension": "SCI",
        "error_extension": "ERR",
        "error_type": "ERR",
        "dq_extension": "DQ",
        "weighting": weighting,
        **dict.fromkeys(("roi_spatial", "roi_wave", "weight_power"), 0.0),
    }
    if reach is not None:
        found["roi_spatial"] = float(reach.radius.mean())
        found["roi_wave"] = float(reach.depth.mean())
    if reach is not None and weighting == "msm":
        found["weight_power"] = float(reach.shape[0].mean())
    return {f"meta.ifu.{name}": value for name, value in found.items()}


def wave_table(grid: CubeGrid) -> Table:
    """(1,) table: the wavelengths of all planes in a cell of (planes, 1), um."""
    table = np.zeros(1, dtype=[("wavelength", np.float32, (grid.z.size, 1))])
    table["wavelength"][0, :, 0] = grid.z
    return table


def cube_wcs(grid: CubeGrid) -> WCS:
    """The gwcs of a cube, from spaxel x, y and plane, from 0, to degrees and um.

    Parameters
    ----------
    grid : CubeGrid

    Returns
    -------
    gwcs.WCS
    """
    from astropy import units
    from astropy.modeling.models import Scale, Shift, Tabular1D
    from gwcs import WCS
    from gwcs.coordinate_frames import CoordinateFrame
    from gwcs.fitswcs import FITSImagingWCSTransform

    from stpipe.science.wcs.lrs import world_frame

    keywords = grid_keywords(grid)
    info = {name.rpartition(".")[2]: value for name, value in keywords.items()}
    from astropy.modeling.models import Pix2Sky_TAN

    sky = FITSImagingWCSTransform(
        Pix2Sky_TAN(),
        crpix=[info["crpix1"] - 1, info["crpix2"] - 1],
        crval=[info["crval1"], info["crval2"]],
        cdelt=[info["cdelt1"], info["cdelt2"]],
        pc=[[info["pc1_1"], info["pc1_2"]], [info["pc2_1"], info["pc2_2"]]],
    )
    if grid.step:
        wave = Scale(grid.step) | Shift(float(grid.z[0]))
    else:
        wave = Tabular1D(np.arange(grid.z.size, dtype=float), grid.z, bounds_error=False)
    pixels = CoordinateFrame(
        naxes=3,
        axes_type=("SPATIAL", "SPATIAL", "SPECTRAL"),
        axes_order=(0, 1, 2),
        axes_names=("x", "y", "z"),
        unit=(units.pix,) * 3,
        name="detector",
    )
    wcs = WCS([(pixels, sky & wave), (world_frame(), None)])
    planes, rows, columns = grid.shape
    wcs.bounding_box = ((0, columns - 1), (0, rows - 1), (0, planes - 1))
    return wcs
