"""The product: arrays, grid, and the headers of all exposures in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.science.cubes.keywords import cube_wcs, grid_keywords, wave_table
from stpipe.science.mosaics.headers import blended, combined_times, header_of, header_table
from stpipe.science.wcs.imaging import polygon
from stpipe.science.wcs.keywords import replaced_keywords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models import IFUCubeModel, ModelLibrary
    from stpipe.science.cubes.finishing import Finished
    from stpipe.science.cubes.grid import CubeGrid
    from stpipe.steps.stage2.cube_build.exposures import Part

__all__ = ["product"]

# What tells of the detector and not of the sky.
_OF_THE_DETECTOR = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")


def product(
    library: ModelLibrary, parts: Sequence[Part], made: tuple[CubeGrid, Finished]
) -> IFUCubeModel:
    """A cube with its header.

    Parameters
    ----------
    library : ModelLibrary
    parts : sequence of Part
        What was put into it.
    made : (CubeGrid, Finished)

    Returns
    -------
    IFUCubeModel
    """
    from stpipe import models

    grid, arrays = made
    cube = models.IFUCubeModel()
    members = list(dict.fromkeys(part.member for part in parts))
    with library[members[0]] as first:
        cube.update(first)
    cube.data, cube.err, cube.dq = arrays.data, arrays.err, arrays.dq
    cube.weightmap, cube.wavetable = arrays.weightmap, wave_table(grid)
    if not grid.step:
        cube.wavedim = f"(1,{grid.z.size})"
    headers = [header_of(library.metadata(number)) for number in members]
    values = replaced_keywords(cube.to_flat_dict(), {})
    if len(headers) > 1:
        cube.hdrtab = header_table(headers, cube.schema.metadata)
        values |= blended(headers) | combined_times(headers)
    values |= {f"meta.wcsinfo.{name}": None for name in _OF_THE_DETECTOR}
    values |= grid_keywords(grid) | _target(headers[0])
    values["meta.wcsinfo.s_region"] = _outline(grid)
    if channels := sorted({part.channel for part in parts if part.channel}):
        values["meta.instrument.channel"] = "".join(map(str, channels))
    for path, value in values.items():
        if path in cube.schema.metadata:
            cube.set(path, value)
    cube.meta.wcs = cube_wcs(grid)
    return cube


def _target(header: dict[str, Any]) -> dict[str, Any]:
    """The mean place of a moving target, on which the exposures are put."""
    place = {name: header.get(f"meta.wcsinfo.mt_av{name}") for name in ("ra", "dec")}
    if None in place.values():
        return {}
    known = {f"meta.target.{name}": value for name, value in place.items()}
    return known | {f"meta.wcsinfo.mt_{name}": value for name, value in place.items()}


def _outline(grid: CubeGrid) -> str | None:
    """The outline of the cube on the sky, as S_REGION has it."""
    ends = [
        (axis[0] - step / 2, axis[-1] + step / 2)
        for axis, step in zip((grid.x, grid.y), grid.spaxel, strict=True)
    ]
    (left, right), (low, high) = ends
    xi, eta = np.array([left, right, right, left]), np.array([low, low, high, high])
    ra, dec = grid.plane.sky(xi, eta)
    return polygon(ra % 360, dec)
