"""FITS files, of this package and of others, as they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from model_files import same, with_card

from stpipe import models
from stpipe.errors import InputError

NIRISS = Path(__file__).parents[5] / "shared/data/niriss_sub80"


@pytest.mark.parametrize(("name", "dtype"), [("SCI", "float32"), ("DQ", "uint32")])
def test_blank_means_nothing_to_floats_and_unsigned_integers(
    tmp_path: Path, name: str, dtype: str
) -> None:
    """Such images keep every value, as in astropy, though careless writers say BLANK."""
    values = np.arange(4, dtype=dtype).reshape(2, 2)
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values, name=name)]).writeto(path)
    with_card(path, "BLANK", 0)
    np.testing.assert_array_equal(
        values, getattr(models.ImageModel(path), {"SCI": "data", "DQ": "dq"}[name])
    )


def test_scaled_images(tmp_path: Path) -> None:
    """Integers with scale, zero point and blank are floats."""
    path = tmp_path / "scaled.fits"
    unit = fits.ImageHDU(np.array([[1, 2], [3, -99]], np.int16), name="SCI")
    unit.header["BSCALE"], unit.header["BZERO"], unit.header["BLANK"] = 0.5, 10.0, -99
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path)
    expected = np.array([[10.5, 11], [11.5, np.nan]], np.float32)
    np.testing.assert_array_equal(expected, models.ImageModel(path).data)
    np.testing.assert_array_equal(expected[1:], models.ImageModel(path).read("data", np.s_[1:]))


def test_header_wins_over_the_tree(image: models.ImageModel, tmp_path: Path) -> None:
    """A keyword edited in the header counts; the tree tells what the header does not."""
    path = image.save(tmp_path / "x.fits")
    with fits.open(path, mode="update") as units:
        units[0].header["INSTRUME"] = "MIRI"
    read = models.open(path)
    assert "MIRI" == read.meta.instrument.name
    assert "Vera" == read.meta.observer.name


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("BITPIX", 16, "a table has BITPIX 16, NAXIS 2"),
        ("NAXIS", 1, "a table has BITPIX 8, NAXIS 1"),
        ("TSCAL2", "NAN", "values are scaled by nan"),
        ("TZERO2", "1E400", "values are scaled by inf"),
    ],
)
def test_tables_that_contradict_themselves(
    tmp_path: Path, keyword: str, value: object, message: str
) -> None:
    """A table is rows of bytes, and its values are numbers."""
    table = np.zeros(1, [("BIT", "i4"), ("VALUE", "i4"), ("NAME", "S4"), ("DESCRIPTION", "S4")])
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="DQ_DEF")]).writeto(path)
    assert (1,) == models.MaskModel(path).dq_def.shape
    with_card(path, keyword, value)
    with pytest.raises(InputError, match=f"x.fits is damaged: .*{message}"):
        models.MaskModel(path)


def test_integers_of_the_wrong_sign_keep_their_bits(tmp_path: Path) -> None:
    """Masks exist that were written as signed integers."""
    path = tmp_path / "x.fits"
    science = fits.ImageHDU(np.zeros((1, 2), np.float32), name="SCI")
    mask = fits.ImageHDU(np.array([[-(2**31), 3]], np.int32), name="DQ")
    fits.HDUList([fits.PrimaryHDU(), science, mask]).writeto(path)
    np.testing.assert_array_equal([[2**31, 3]], models.ImageModel(path).dq)


@pytest.mark.skipif(not NIRISS.is_dir(), reason=f"{NIRISS} is absent")
def test_niriss_exposure_and_references(tmp_path: Path) -> None:
    """Officially formatted files open, and what astropy reads is what this package reads."""
    for path in sorted(NIRISS.glob("*.fits")):
        model = models.open(path)
        again = models.open(model.save(tmp_path / path.name))
        same(model, again)
        with fits.open(path) as units:
            for name in model.shapes:
                expected = units[model.schema.arrays[name].hdu].data
                if expected.dtype.names is None and name != "dq":
                    np.testing.assert_array_equal(expected, getattr(again, name))
            for card in units[0].header.cards:
                if card.keyword not in ("", "DATE", "FILENAME", "EXTEND"):
                    assert card.value == fits.getheader(tmp_path / path.name)[card.keyword]
