"""FITS files as they are written: order, cards, and all that the schema does not know."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from model_files import ENDINGS, foreign

from stpipe import models


def test_order_of_extensions_and_headers(image: models.ImageModel, tmp_path: Path) -> None:
    """Primary header without data, arrays in the order of the schema, then ASDF."""
    with fits.open(image.save(tmp_path / "x_rate.fits")) as units:
        units.verify("exception")
        names = [unit.name for unit in units]
        assert ["PRIMARY", "SCI", "ERR", "DQ", "VAR_POISSON", "ASDF"] == names
        assert (0, "ImageModel", "NIRCAM") == (
            units[0].header["NAXIS"],
            units[0].header["DATAMODL"],
            units[0].header["INSTRUME"],
        )
        assert ("DN/s", 82.18735003185246) == (
            units["SCI"].header["BUNIT"],
            units["SCI"].header["RA_REF"],
        )
        assert 2**31 == units["DQ"].header["BZERO"]
        np.testing.assert_array_equal(image.dq, units["DQ"].data)
        np.testing.assert_array_equal(image.data, units["SCI"].data)


WAYS = [[".fits"], [".asdf", ".fits"], ["zlib.asdf", ".fits"], [".fits.gz", "bzp2.asdf", ".fits"]]


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_unknown_extensions_and_keywords_survive(tmp_path: Path, way: list[str]) -> None:
    """Whatever the schema does not know is written again as it was, through ASDF too."""
    path = foreign(tmp_path / "foreign.fits")
    before = fits.getheader(path)
    for number, ending in enumerate(way):
        model = models.open(path)
        model.meta.exposure.nints = 3
        compression = ending.partition(".")[0]
        path = model.save(tmp_path / f"{number}{ending}", compression=compression)
    with fits.open(tmp_path / "foreign.fits") as old, fits.open(path) as new:
        assert [*(unit.name for unit in old), "ASDF"] == [unit.name for unit in new]
        assert 3 == new[0].header["NINTS"]
        assert 1.5 == new["SCI"].header["MYKEY"]
        np.testing.assert_array_equal(old["SCI", 2].data, new["SCI", 2].data)
        np.testing.assert_array_equal(old["OTHER"].data["a"], new["OTHER"].data["a"])
        np.testing.assert_array_equal(old["OTHER"].data["v"][1], new["OTHER"].data["v"][1])
        images = [card.image for card in new[0].header.cards]
    kept = [card.image for card in before.cards if card.keyword not in ("EXTEND", "NAXIS")]
    assert [] == [image for image in kept[3:] if image not in images]


def test_unchanged_cards_stay_where_and_as_they_are(tmp_path: Path) -> None:
    """A changed value replaces its card in place; a removed one takes its card away."""
    path = tmp_path / "x.fits"
    unit = fits.PrimaryHDU()
    unit.header["NGROUPS"] = (5, "my own words")
    unit.header["NINTS"] = (1, "to be changed")
    unit.header["MYOWN"] = 2
    unit.header["NFRAMES"] = (8, "to be removed")
    unit.header["TITLE"] = "last"
    unit.writeto(path)
    model = models.DataModel(path)
    model.meta.exposure.nints = 2
    model.meta.exposure.nframes = None
    model.meta.exposure.groupgap = 4
    cards_ = fits.getheader(model.save(path)).cards
    found = [(card.keyword, card.value, card.comment) for card in cards_]
    start = found.index(("NGROUPS", 5, "my own words"))
    assert ("NINTS", 2, "to be changed") == found[start + 1]
    assert ("GROUPGAP", 4, "Frames dropped between groups") == found[start + 2]
    assert ["MYOWN", "TITLE"] == [keyword for keyword, _, _ in found[start + 3 : start + 5]]


def test_extensions_without_data_keep_their_keywords(tmp_path: Path) -> None:
    """A known extension may hold keywords and no array; an array that is removed takes its own."""
    science = fits.ImageHDU(name="SCI")
    science.header["RA_REF"], science.header["MYKEY"] = 5.5, "mine"
    fits.HDUList([fits.PrimaryHDU(), science]).writeto(tmp_path / "x.fits")
    model = models.ImageModel(tmp_path / "x.fits")
    assert (None, 5.5) == (model.data, model.meta.wcsinfo.ra_ref)
    header = fits.getheader(model.save(tmp_path / "again.fits"), "SCI")
    assert (0, 5.5, "mine") == (header["NAXIS"], header["RA_REF"], header["MYKEY"])
    model.data = None
    with fits.open(model.save(tmp_path / "again.fits")) as units:
        assert ["PRIMARY", "ASDF"] == [unit.name for unit in units]
    assert 5.5 == models.open_metadata(tmp_path / "again.fits").get("meta.wcsinfo.ra_ref", 5.5)


def test_unknown_keywords_follow_an_update(tmp_path: Path) -> None:
    """A product made from an exposure keeps the exposure's own primary keywords."""
    rate = models.CubeModel(np.zeros((1, 3, 4), np.float32))
    rate.update(models.open(foreign(tmp_path / "foreign.fits")))
    header = fits.getheader(rate.save(tmp_path / "rate.fits"))
    assert ("CubeModel", "Vera", "MIRI") == (
        header["DATAMODL"],
        header["OBSERVER"],
        header["INSTRUME"],
    )


def test_data_in_the_primary_unit_survive(tmp_path: Path) -> None:
    """An image in the primary unit is not ours, and is kept."""
    path = tmp_path / "plain.fits"
    fits.PrimaryHDU(np.arange(6, dtype=np.int16).reshape(2, 3)).writeto(path)
    model = models.DataModel(path)
    model.meta.instrument.name = "FGS"
    np.testing.assert_array_equal(
        [[0, 1, 2], [3, 4, 5]], fits.getdata(model.save(tmp_path / "again.fits"))
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_random_groups_survive(tmp_path: Path, ending: str) -> None:
    """Groups in the primary unit, the form of radio astronomers, are not ours, and are kept."""
    path = tmp_path / "groups.fits"
    values = np.arange(100, dtype=np.float32).reshape(10, 1, 1, 2, 5)
    groups = fits.GroupData(values, parnames=["U"], pardata=[np.arange(10.0)], bitpix=-32)
    fits.HDUList([fits.GroupsHDU(groups), fits.ImageHDU(np.ones(3))]).writeto(path)
    way = models.DataModel(path).save(tmp_path / f"way{ending}")
    with fits.open(models.DataModel(way).save(tmp_path / "again.fits")) as units:
        np.testing.assert_array_equal(values, units[0].data.data)
        np.testing.assert_array_equal(np.arange(10.0), units[0].data.par("U"))
        np.testing.assert_array_equal(np.ones(3), units[1].data)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    """FITS headers cannot hold NaN and infinity; the tree can."""
    model = models.ImageModel(np.zeros((1, 1)))
    model.meta.exposure.start_time, model.meta.exposure.end_time = math.nan, math.inf
    path = model.save(tmp_path / "x.fits")
    assert "EXPSTART" not in fits.getheader(path)
    assert math.isnan(models.open(path).meta.exposure.start_time)
    assert math.inf == models.open_metadata(path).meta.exposure.end_time
