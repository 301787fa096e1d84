"""Models that are one table, as text that astropy reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.errors import InputError, UsageError

UNITS = {"aper30_flux": "Jy", "sky_centroid.ra": "deg", "sky_centroid.dec": "deg"}
FLOATS = st.floats(width=64, allow_infinity=True, allow_nan=True)


def catalog(fluxes: list[float]) -> Any:
    """A catalogue with a source for each flux."""
    model = models.SourceCatalogModel()
    columns = model.schema.arrays["catalog"].dtype.descr
    more = [("aper30_flux", "f8"), ("is_extended", "?"), ("name", "S3")]
    table = np.zeros(len(fluxes), [*columns, *more])
    table["label"] = 1 + np.arange(len(fluxes))
    table["aper30_flux"], table["is_extended"], table["name"] = fluxes, True, b"a b"
    table["sky_centroid.ra"], table["sky_centroid.dec"] = 80.5, -69.25
    model.catalog = table
    model.set_units("catalog", UNITS)
    model.describe_columns("catalog", {"aper30_flux": "Flux in a circle: all of it"})
    model.meta.instrument.name = "NIRCAM"
    model.provenance = [{"step": "x", "parameters": {"a": None, "b": [1.5, "c: d"]}}]
    return model


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fluxes=st.lists(FLOATS, max_size=5), way=st.permutations([".ecsv", ".fits", ".asdf"]))
def test_all_formats_hold_the_same(tmp_path: Path, fluxes: list[float], way: list[str]) -> None:
    """Through every format in any order: values bit for bit, units, metadata and history."""
    model = catalog(fluxes)
    first = model.copy()
    for ending in way:
        model = models.open(model.save(tmp_path / f"x_cat{ending}"))
    assert type(model) is models.SourceCatalogModel
    assert first.catalog.dtype.names == model.catalog.dtype.names
    for name in first.catalog.dtype.names:
        np.testing.assert_array_equal(first.catalog[name], model.catalog[name])
    assert UNITS == model.units("catalog")
    assert first.provenance == model.provenance
    assert model.meta.instrument.name == "NIRCAM"


def test_header_cards_of_a_user_stay(tmp_path: Path) -> None:
    """From FITS to ECSV and back; those of the table's own header are its columns."""
    path = Path(catalog([1e-7]).save(tmp_path / "x_cat.fits"))
    fits.setval(path, "OBSNOTE", value="clouds? no", comment="by hand")
    with models.open(path) as model:
        text = Path(model.save(tmp_path / "x_cat.ecsv"))
    assert "TTYPE1" not in text.read_text()
    with models.open(text) as model:
        model.save(tmp_path / "y_cat.fits")
    header = fits.getheader(tmp_path / "y_cat.fits")
    assert "clouds? no" == header["OBSNOTE"]
    assert "by hand" == header.comments["OBSNOTE"]


def test_astropy_reads_coordinates_and_quantities(tmp_path: Path) -> None:
    """As in catalogues of the archive, with the metadata and descriptions."""
    path = catalog([1e-7, 2e-7]).save(tmp_path / "x_cat.ecsv")
    table = QTable.read(path, format="ascii.ecsv")
    assert isinstance(table["sky_centroid"], SkyCoord)
    assert table["sky_centroid"][1].dec.deg == -69.25
    assert table["aper30_flux"][1].to_value("nJy") == pytest.approx(200)
    assert table["aper30_flux"].info.description == "Flux in a circle: all of it"
    assert table["is_extended"].dtype == bool
    assert table.meta["meta"]["instrument"]["name"] == "NIRCAM"


def test_tables_of_astropy_open_as_catalogues(tmp_path: Path) -> None:
    """A catalogue of the archive names no model; a cell without a value is not a number."""
    table = QTable({"label": [1, 2], "xcentroid": [1.0, 2.0], "ycentroid": [3.0, 4.0]})
    table["sky_centroid"] = SkyCoord([1, 2], [3, 4], unit="deg")
    table["flux"] = np.ma.MaskedArray([1.0, 2.0], [False, True])
    table.meta["aperture_params"] = {"aperture_radii": np.array([1.0, 2.0])}
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    with models.open(tmp_path / "a.ecsv") as model:
        assert isinstance(model, models.SourceCatalogModel)
        np.testing.assert_array_equal([2.0, 4.0][0], model.catalog["sky_centroid.ra"][1])
        np.testing.assert_array_equal([1.0, np.nan], model.catalog["flux"])
        model.save(tmp_path / "b.fits")
    assert models.open_metadata(tmp_path / "b.fits").shapes["catalog"] == (2,)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("\n2 ", "\n2 3 ", "row 2 has 9 of 8 cells"),
        ("\n2 ", "\n2.5 ", "a cell of label is not of the type int32"),
        ("True", "Truth", "a cell of is_extended is not of the type bool"),
        ("float64", "float65", "a cell of xcentroid is not of the type float65"),
        ("label xc", "labels xc", "names of columns do not agree"),
        ("# meta:", "# meta: {", "while parsing a flow mapping"),
    ],
)
def test_damage_is_noticed(tmp_path: Path, before: str, after: str, words: str) -> None:
    """With the name of the file, what is wrong, and what to do."""
    path = catalog([1.0, 2.0]).save(tmp_path / "x_cat.ecsv")
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    found = rf"x_cat.ecsv is damaged: it is not a table in ECSV \(({words}).*\); download or"
    with pytest.raises(InputError, match=found):
        models.open(path)


def test_checksums(tmp_path: Path) -> None:
    """On request the text has a sum, with which a changed number is noticed."""
    path = catalog([1.5, 2.0]).save(tmp_path / "x_cat.ecsv")
    assert [("text", "", False)] == models.verify(path)
    models.open(path).save(path, checksum=True)
    assert [("text", "", True)] == models.verify(path)
    assert len(QTable.read(path, format="ascii.ecsv")) == 2
    path.write_text(path.read_text(encoding="utf-8").replace(" 1.5 ", " 1.6 "), encoding="utf-8")
    assert "the text has the MD5 sum" in models.verify(path)[0].problem
    assert not models.verify(models.open(path).save(path))[0].present


TEXTS = ["a\nb", "a\rb", "a\r\nb", "a\x0bb", "a\x85b", "a\u2028b", '"a" b', "#", ""]


@pytest.mark.parametrize("way", [[".ecsv"], [".ecsv", ".fits"], [".asdf", ".ecsv"]], ids="".join)
def test_odd_texts_units_and_integers(tmp_path: Path, way: list[str]) -> None:
    """Texts with ends of lines, large integers with units, and units that astropy does not know."""
    model = catalog([1.0] * len(TEXTS))
    large = np.full(len(TEXTS), 2**63 - 1)
    table = np.zeros(len(TEXTS), [*model.catalog.dtype.descr, ("text", "U9"), ("large", "i8")])
    table["text"], table["large"] = TEXTS, large
    model.catalog = table
    units = {"large": "DN", "aper30_flux": "things of ours"}
    model.set_units("catalog", units)
    for ending in way:
        model = models.open(model.save(tmp_path / f"x_cat{ending}"))
    assert TEXTS == [text.decode() for text in model.catalog["text"]]
    assert np.int64 == model.catalog["large"].dtype
    np.testing.assert_array_equal(large, model.catalog["large"])
    assert units == {name: model.units("catalog")[name] for name in units}


def test_only_tables_fit(tmp_path: Path) -> None:
    """An image has no place in a table; nothing is written."""
    with pytest.raises(UsageError, match=r"must end in .fits.gz, .fits, .asdf\."):
        models.ImageModel(np.zeros((2, 2), np.float32)).save(tmp_path / "x.ecsv")
    assert not list(tmp_path.iterdir())


def test_that_there_is_nothing_fits(tmp_path: Path) -> None:
    """A step that made nothing leaves a file that says so, under the catalogue's name."""
    nothing = models.NothingModel()
    nothing.provenance = [{"step": "source_catalog", "status": "NOTHING", "reason": "dark"}]
    path = nothing.save(tmp_path / "x_cat.ecsv")
    assert models.open_metadata(path).model_type == "NothingModel"
    assert models.open(path).provenance[0]["reason"] == "dark"
