"""The pixels of a rectified slit that several exposures show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.errors import InputError
from stpipe.science.exposure_types import NIRSPEC_SLITS
from stpipe.science.mosaics.nirspec_grid import BAD, SlitImage, nirspec_grid
from stpipe.science.mosaics.slit_grid import slit_grid, slit_grid_of_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models import ModelLibrary
    from stpipe.science.mosaics.sky_grid import GridOptions
    from stpipe.science.mosaics.slit_grid import SlitGrid

__all__ = ["reference_member", "slit_grid_of_members"]


def slit_grid_of_members(
    library: ModelLibrary, members: Sequence[int], options: GridOptions, bad: int = BAD
) -> SlitGrid:
    """Pixels that hold a slit in all exposures.

    Parameters
    ----------
    library : ModelLibrary
        Slits of one source, or exposures of the slit of MIRI's prism.
    members : sequence of int
        Numbers of those that count.
    options : GridOptions
        What is asked for.
    bad : int
        Bits of pixels that do not count.

    Returns
    -------
    SlitGrid

    Raises
    ------
    InputError
        When an exposure has no coordinates.
    """
    about = library.metadata(members[0])
    direction = about.get("meta.wcsinfo.dispersion_direction")
    slits = str(about.get("meta.exposure.type")).upper() in NIRSPEC_SLITS
    images, found = [], []
    for number in members:
        with library[number] as member:
            if member.meta.wcs is None or direction is None:
                raise InputError(
                    f"{library.path(number)} has no gwcs or no DISPAXIS. Run assign_wcs."
                )
            found.append(member.meta.wcs)
            if slits and options.output_wcs is None:
                images.append(SlitImage.of(member, bad))
    if options.output_wcs is not None:
        return slit_grid_of_file(options.output_wcs, found[0], direction, options.shape)
    return nirspec_grid(images, options) if slits else slit_grid(found, direction, options)


def reference_member(library: ModelLibrary, members: Sequence[int]) -> int:
    """The number of the exposure that places the grid: the first with enough light.

    Parameters
    ----------
    library : ModelLibrary
    members : sequence of int

    Returns
    -------
    int
    """
    for number in members:
        with library[number] as member:
            if SlitImage.of(member).counts:
                return number
    return members[0]
