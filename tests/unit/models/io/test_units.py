"""Units of the columns of tables, and other words about them: kept with their column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.errors import ValidationError

UNITS = {"WAVELENGTH": "um", "FLUX": "Jy", "BACKGROUND": "MJy/sr"}


def spectrum() -> models.SpecModel:
    model = models.SpecModel()
    model.spec_table = np.zeros(3, model.schema.arrays["spec_table"].dtype)
    model.set_units("spec_table", UNITS)
    return model


def test_other_software_finds_them(tmp_path: Path) -> None:
    """TUNIT of every column that has one; read again they are the same."""
    path = spectrum().save(tmp_path / "x_x1d.fits")

    with fits.open(path) as hdus:
        columns = hdus["EXTRACT1D"].columns
        assert {**dict.fromkeys(columns.names, ""), **UNITS} == {
            c.name: c.unit or "" for c in columns
        }
    assert UNITS == models.open(path).units("spec_table")


@pytest.mark.parametrize("ending", [".fits", ".asdf"])
def test_a_copy_of_a_file_has_them(tmp_path: Path, ending: str) -> None:
    """Also of columns in another order than the schema's, and with some that it does not know."""
    path = tmp_path / "theirs.fits"
    spectrum().save(path)
    with fits.open(path) as hdus:
        hdu = hdus["EXTRACT1D"]
        extra = fits.Column("EXTRA", "J", unit="K", null=-9, disp="I5", array=[1, 2, -9])
        turned = fits.ColDefs([extra, *reversed(list(hdu.columns))])
        again = fits.BinTableHDU.from_columns(turned, name="EXTRACT1D")
        fits.HDUList([fits.PrimaryHDU(), again]).writeto(tmp_path / "turned.fits")
    with models.SpecModel(tmp_path / "turned.fits") as model:
        copy = model.save(tmp_path / f"copy{ending}")

    assert {**UNITS, "EXTRA": "K"} == models.SpecModel(copy).units("spec_table")
    with fits.open(models.SpecModel(copy).save(tmp_path / "last.fits")) as hdus:
        last = hdus["EXTRACT1D"].columns[-1]
        assert ("EXTRA", "I5", -9) == (last.name, last.disp, last.null)
        assert 1 == len(hdus["EXTRACT1D"].header["TDISP*"])


def test_a_table_of_other_columns_has_none() -> None:
    """New values keep the units, new columns do not."""
    model = spectrum()
    model.spec_table = np.ones(5, model.spec_table.dtype)
    assert UNITS == model.units("spec_table")
    model.spec_table = np.ones(5, [*model.spec_table.dtype.descr, ("MORE", "f8")])
    assert {} == model.units("spec_table")


def test_slips_in_units_are_refused() -> None:
    """A column that the table has not, or before there is a table, and text that no header holds."""
    model = models.SpecModel()
    with pytest.raises(ValidationError, match="has no column WAVELENGTH; it has none"):
        model.set_units("spec_table", {"WAVELENGTH": "um"})
    model.spec_table = np.zeros(2, model.schema.arrays["spec_table"].dtype)
    with pytest.raises(ValidationError, match="did you mean"):
        model.describe_columns("spec_table", {"WAVELNGTH": "where"})
    with pytest.raises(ValidationError, match="allowed is printable ASCII"):
        model.set_units("spec_table", {"WAVELENGTH": "µm"})
    with pytest.raises(AttributeError, match="did you mean"):
        model.units("spec_tabel")
