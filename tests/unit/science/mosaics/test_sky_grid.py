"""Grids on the sky: exact maps of pixels, regions and their middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.science.mosaics.sky_grid import (
    GridOptions,
    common_grid,
    corners_of,
    fiducial,
    from_file,
    mean_scale,
    pixel_map,
    polygons_of,
)


def test_pixel_maps_are_exact(field: Path) -> None:
    """Splines between the points agree with the coordinates of every pixel to 1e-6."""
    path = next(field.glob("cal/*_cal.fits"))
    with models.open(path) as image:
        grid = common_grid(models.ModelLibrary([path]), [0], GridOptions())
        found = pixel_map(image.meta.wcs, grid, image.shape)
        rows, columns = np.indices(image.shape)
        x, y = grid.wcs.invert(*image.meta.wcs(columns, rows), with_bounding_box=False)
    np.testing.assert_allclose(found[..., 0], x, atol=1e-6)
    np.testing.assert_allclose(found[..., 1], y, atol=1e-6)


def test_a_header_that_does_not_tell_how_the_detector_lies(field: Path, tmp_path: Path) -> None:
    """It is refused by name, with the way out."""
    with models.open(next(field.glob("cal/*_cal.fits"))) as image:
        image.meta.wcsinfo.vparity = None
        path = image.save(tmp_path / "x_cal.fits")
    with pytest.raises(InputError, match=r"lacks meta\.wcsinfo\.vparity, .* output_wcs"):
        common_grid(models.ModelLibrary([path]), [0], GridOptions())


def test_regions_and_their_middle() -> None:
    """Across the meridian, too."""
    corners = corners_of("POLYGON ICRS  359.9 -1.0 359.9 1.0 0.1 1.0 0.1 -1.0")
    ra, dec = fiducial(corners)
    assert min(ra, 360 - ra) < 1e-9
    assert abs(dec) < 1e-9
    with pytest.raises(InputError, match="allowed: POLYGON ICRS"):
        corners_of("POLYGON ICRS 1 2 3")


def test_regions_of_several_parts() -> None:
    """Polygons of any number of corners, each by itself."""
    first, second = polygons_of("POLYGON ICRS 1 1 2 1 2 2 POLYGON ICRS 3 3 4 3 4 4 3.5 5 3 4")
    np.testing.assert_array_equal([[1, 1], [2, 1], [2, 2]], first)
    np.testing.assert_array_equal([[3, 3], [4, 3], [4, 4], [3.5, 5], [3, 4]], second)
    for region in ("POLYGON ICRS 1 1 2 2", "CIRCLE ICRS 1 1 0.1", "None"):
        with pytest.raises(InputError, match="three at least"):
            polygons_of(region)


def test_a_stored_gwcs_needs_no_bounding_box(field: Path, tmp_path: Path) -> None:
    """The shape of the file says how far it reaches."""
    import asdf

    with models.open(next(field.glob("cal/*_cal.fits"))) as image:
        wcs = image.meta.wcs
        rows, columns = image.data.shape
    with_box = mean_scale(wcs) * 3600
    wcs.bounding_box = None
    wcs.array_shape = None
    path = tmp_path / "grid.asdf"
    asdf.AsdfFile({"wcs": wcs, "pixel_shape": [columns, rows]}).write_to(path)
    grid = from_file(str(path), with_box, None)

    assert (rows, columns) == grid.shape
    assert grid.scale == pytest.approx(with_box, rel=1e-6)
    assert ((-0.5, columns - 0.5), (-0.5, rows - 0.5)) == tuple(grid.wcs.bounding_box)
