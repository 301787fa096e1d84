"""Catalogues that users bring, in the forms that they come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from stpipe.errors import InputError
from stpipe.steps.stage3.tweakreg.star_catalogs import listed_catalogs, pixels_of, sky_of


@pytest.mark.parametrize("pattern", ["{}", "{}centroid", "{}_centroid"])
@pytest.mark.parametrize("extension", ["ecsv", "fits"])
def test_places_in_pixels(tmp_path: Path, pattern: str, extension: str) -> None:
    """Columns by any of their names, in any table that astropy reads; others do not matter."""
    names = [pattern.format(axis) for axis in "xy"]
    path = tmp_path / f"stars.{extension}"
    Table([[1, 2], [3.5, 4.5], ["a", "b"]], names=(*names, "name")).write(path)

    np.testing.assert_array_equal([[1, 3.5], [2, 4.5]], pixels_of(path))


def test_places_on_the_sky(tmp_path: Path) -> None:
    """Two columns in degrees, in any case, or one of coordinates."""
    plain, coordinates = tmp_path / "plain.csv", tmp_path / "coordinates.ecsv"
    plain.write_text("RA,Dec,flux\n10.5,-3.25,1\n")
    QTable([SkyCoord([10.5], [-3.25], unit="deg")], names=["sky_centroid"]).write(coordinates)
    for path in (plain, coordinates):
        np.testing.assert_allclose([[10.5, -3.25]], sky_of(path))


def test_catalogues_that_cannot_be_used(tmp_path: Path) -> None:
    """Missing, no table, without places: each says what it needs."""
    other = tmp_path / "other.ecsv"
    Table([[1.0]], names=["flux"]).write(other)
    with pytest.raises(InputError, match=r"has the columns flux; it needs x and y, or xcentroid"):
        pixels_of(other)
    with pytest.raises(InputError, match="it needs ra and dec, or sky_centroid"):
        sky_of(other)
    with pytest.raises(InputError, match="There is no catalogue"):
        sky_of(tmp_path / "nothing.ecsv")
    (tmp_path / "picture.fits").write_bytes(b"no table")
    with pytest.raises(InputError, match=r"picture\.fits is no table that can be read"):
        pixels_of(tmp_path / "picture.fits")


def test_lists_of_catalogues(tmp_path: Path) -> None:
    """Relative to the list; comments, empty lines and exposures without one are left out."""
    path = tmp_path / "list.txt"
    path.write_text("# mine\na_cal.fits stars/a.ecsv\n\nb_cal.fits\nc_cal.fits /c.ecsv\n")
    assert {
        "a_cal.fits": tmp_path / "stars/a.ecsv",
        "c_cal.fits": Path("/c.ecsv"),
    } == listed_catalogs(path)
    path.write_text("a_cal.fits a.ecsv b.ecsv\n")
    with pytest.raises(InputError, match=r"list\.txt:1: found 3 words, allowed: an exposure and"):
        listed_catalogs(path)
    with pytest.raises(InputError, match="cannot be read"):
        listed_catalogs(tmp_path / "nothing.txt")
