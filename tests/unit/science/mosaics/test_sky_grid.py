"""Grids on the sky: exact maps of pixels, regions and their middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.science.mosaics.sky_grid import Wishes, common_grid, corners_of, fiducial, pixel_map


def test_pixel_maps_are_exact(field: Path) -> None:
    """Splines between the points agree with the coordinates of every pixel to 1e-6."""
    path = next(field.glob("cal/*_cal.fits"))
    with models.open(path) as image:
        grid = common_grid(models.ModelLibrary([path]), [0], Wishes())
        found = pixel_map(image.meta.wcs, grid, image.shape)
        rows, columns = np.indices(image.shape)
        x, y = grid.wcs.invert(*image.meta.wcs(columns, rows), with_bounding_box=False)
    np.testing.assert_allclose(found[..., 0], x, atol=1e-6)
    np.testing.assert_allclose(found[..., 1], y, atol=1e-6)


def test_regions_and_their_middle() -> None:
    """Across the meridian, too."""
    corners = corners_of("POLYGON ICRS  359.9 -1.0 359.9 1.0 0.1 1.0 0.1 -1.0")
    ra, dec = fiducial(corners)
    assert min(ra, 360 - ra) < 1e-9
    assert abs(dec) < 1e-9
    with pytest.raises(InputError, match="allowed: POLYGON ICRS"):
        corners_of("POLYGON ICRS 1 2 3")
