"""The slices of an integral-field unit on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.science.wcs.imaging import polygon

if TYPE_CHECKING:
    import numpy.typing as npt
    from gwcs import WCS

__all__ = ["s_region_of"]

Labels: TypeAlias = "npt.NDArray[np.int32]"


def s_region_of(wcs: WCS, regions: Labels) -> str | None:
    """S_REGION: the rectangle in right ascension and declination that all slices see.

    Only pixels at the edges of slices are looked at: those between them lie between.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of all slices.
    regions : (rows, columns) int32
        The number of the slice that a pixel sees; 0 between slices.

    Returns
    -------
    str or None
        None where no pixel sees the sky.
    """
    inner = np.s_[1:-1, 1:-1]
    neighbours = (np.s_[2:, 1:-1], np.s_[:-2, 1:-1], np.s_[1:-1, 2:], np.s_[1:-1, :-2])
    edge = np.ones(regions.shape, dtype=bool)
    edge[inner] = np.any([regions[inner] != regions[beside] for beside in neighbours], axis=0)
    y, x = np.nonzero((regions > 0) & edge)
    ra, dec, _ = wcs(x.astype(float), y.astype(float))
    if not np.isfinite(ra).any():
        return None
    # Across 0 h all are counted from the first.
    ra = ra[0] + (ra - ra[0] + 180) % 360 - 180
    west, east = (limit % 360 for limit in (np.nanmin(ra), np.nanmax(ra)))
    south, north = np.nanmin(dec), np.nanmax(dec)
    return polygon(np.array([west, east, east, west]), np.array([south, south, north, north]))
