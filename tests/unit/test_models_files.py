"""Files: FITS and ASDF hold the same model, and nothing gets lost on the way."""

from __future__ import annotations

import io
import math
import os
import random
import re
import string
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asdf
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.errors import InputError, StpipeError, UsageError, ValidationError
from stpipe.models import dqflags
from stpipe.models.formats import fits_cards

ENDINGS = [".fits", ".fits.gz", ".asdf"]
NIRISS = Path(__file__).parents[3] / "shared/data/niriss_sub80"


@pytest.fixture
def image() -> models.ImageModel:
    rng = np.random.default_rng(2)
    model = models.ImageModel(rng.normal(size=(5, 7)).astype(np.float32))
    model.err = np.abs(model.data)
    model.dq = rng.integers(0, 2**32, (5, 7), dtype=np.uint32)
    model.var_poisson = np.zeros((5, 7), np.float32)
    model.meta.instrument.name = "NIRCAM"
    model.meta.bunit_data = "DN/s"
    model.meta.wcsinfo.ra_ref = 82.18735003185246
    model.meta.exposure.read_times = [[1.0, 2.0]]
    model.set("meta.observer", {"name": "Vera", "age": None})
    model.provenance.append({"step": "ramp_fit", "parameters": {"threshold": 4.0}})
    return model


def same(first: models.DataModel, second: models.DataModel) -> None:
    """Assert that two models hold the same arrays and metadata, but for the names of the files."""
    assert set(first.shapes) == set(second.shapes)
    for name in first.shapes:
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    own = {"meta.filename", "meta.date"}
    flat = [{k: v for k, v in m.to_flat_dict().items() if k not in own} for m in (first, second)]
    assert flat[0] == flat[1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(image: models.ImageModel, tmp_path: Path, ending: str) -> None:
    """What was saved is what is opened, and the file says what it is."""
    path = image.save(tmp_path / f"x_rate{ending}")
    read = models.open(path)
    assert isinstance(read, models.ImageModel)
    assert (path.name, "ImageModel") == (read.meta.filename, read.meta.model_type)
    same(image, read)


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


@pytest.mark.parametrize("endings", [(".fits", ".fits"), (".asdf", ".asdf"), (".fits.gz", ".asdf")])
def test_resaving_never_grows_a_file(
    image: models.ImageModel, tmp_path: Path, endings: tuple[str, str]
) -> None:
    """Saved again, and again in another format between, a file has the same size."""
    path = image.save(tmp_path / f"a{endings[0]}")
    size = len(path.read_bytes())
    for number in range(3):
        other = models.open(path).save(tmp_path / f"b{number}{endings[1]}")
        path = models.open(other).save(tmp_path / f"a{endings[0]}")
    assert abs(size - len(path.read_bytes())) <= (4 if "gz" in endings[0] else 0)


DTYPES = [
    *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)),
    np.dtype("f4"),
    np.dtype("f8"),
]
ANYTHING = """{{"properties": {{"data": {{"type": "data", "fits_hdu": "SCI", "dtype": "{0}"}},
  "table": {{"type": "data", "fits_hdu": "TABLE", "dtype": [
    {{"name": "number", "dtype": "{0}"}}, {{"name": "vector", "dtype": "{0}", "shape": [2, 3]}},
    {{"name": "yes", "dtype": "bool"}}, {{"name": "text", "dtype": "S5"}},
    {{"name": "texts", "dtype": "S3", "shape": [2]}}]}}}}}}"""


@pytest.fixture(scope="module")
def classes(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[np.dtype[Any], type[models.DataModel]], Path]:
    folder = tmp_path_factory.mktemp("schemas")
    found = {}
    for dtype in DTYPES:
        path = folder / f"any_{dtype.name}.schema.json"
        path.write_text(ANYTHING.format(dtype.name))
        found[dtype] = models.model_class(path)
    return found, folder


@hypothesis.given(data=st.data(), dtype=st.sampled_from(DTYPES), ending=st.sampled_from(ENDINGS))
@hypothesis.settings(max_examples=60, deadline=None)
def test_every_dtype_and_shape_survives(
    classes: tuple[dict[np.dtype[Any], type[models.DataModel]], Path],
    data: st.DataObject,
    dtype: np.dtype[Any],
    ending: str,
) -> None:
    """Arrays and tables of every dtype come back bit for bit, and astropy reads the same."""
    found, folder = classes
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=5, max_side=4))
    model = found[dtype](data.draw(arrays.arrays(dtype, shape)))
    rows = data.draw(arrays.arrays(model.schema.fields["table"].dtype, st.integers(0, 4)))
    for text in ("text", "texts"):
        rows[text] = np.char.rstrip(rows[text])
    model.table = rows
    path = model.save(folder / f"x{ending}")
    read = found[dtype](path)
    np.testing.assert_array_equal(model.data, read.data)
    for name in rows.dtype.names:
        np.testing.assert_array_equal(rows[name], read.table[name])
    if ending == ".asdf":
        with asdf.open(path) as tree:
            np.testing.assert_array_equal(model.data, tree["data"])
    else:
        with fits.open(path) as units:
            np.testing.assert_array_equal(model.data, units["SCI"].data)
            np.testing.assert_array_equal(rows["number"], units["TABLE"].data["number"])
            np.testing.assert_array_equal(rows["vector"], units["TABLE"].data["vector"])
            np.testing.assert_array_equal(rows["yes"], units["TABLE"].data["yes"])


TEXT = st.text(max_size=200)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "meta.program.title": TEXT,
        "meta.program.pi_name": st.text(string.printable, max_size=90),
        "meta.exposure.nints": st.integers(-(2**31), 2**31),
        "meta.exposure.start_time": st.floats(),
        "meta.wcsinfo.ra_ref": st.floats() | st.integers(),
        "meta.exposure.zero_frame": st.booleans(),
        "meta.note": st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
            lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
            max_leaves=5,
        ),
    },
)


@hypothesis.given(values=VALUES, ending=st.sampled_from(ENDINGS))
@hypothesis.settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_every_metadata_value_survives(tmp_path: Path, values: dict[str, Any], ending: str) -> None:
    """Text of any length and script, numbers that FITS cannot hold, and nested metadata survive."""
    model = models.ImageModel(np.zeros((1, 1), np.float32))
    for path, value in values.items():
        model.set(path, value)
    read = models.open(model.save(tmp_path / f"x{ending}"))
    for path, value in values.items():
        if value is not None and value != {}:
            assert repr(value) == repr(read.get(path))


@hypothesis.given(
    value=st.text(string.printable.replace("\n", "").replace("\r", ""), max_size=300)
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    comment=st.text(string.ascii_letters + " '/", max_size=60),
)
def test_cards_are_what_astropy_reads(value: Any, comment: str) -> None:
    """Cards that this package writes mean the same to astropy and to this package."""
    hypothesis.assume(fits_cards.is_representable(value))
    card = fits_cards.format_card("TESTING", value, comment)
    assert 0 == len(card.image) % 80
    assert value == card.value
    # astropy takes a quote before a slash for the end of the text, even in cards of its own.
    if not re.search("' */", str(value)):
        assert value == fits.Header.fromstring(card.image)["TESTING"]


@hypothesis.given(
    value=st.text(string.ascii_letters + "'& /=", max_size=200)
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    comment=st.text(string.ascii_letters, max_size=20),
)
def test_cards_of_astropy_are_read(value: Any, comment: str) -> None:
    """Cards that astropy writes have the same value here, and stay as they are."""
    header = fits.Header()
    header["TESTING"] = (value, comment) if len(str(value)) < 40 else value
    text = header.tostring(padding=False)
    parsed = fits_cards.parse_header(text)
    # astropy rounds numbers that take more than 20 columns; for text see above.
    read = fits.Header.fromstring(text)["TESTING"]
    assert (value.rstrip() if isinstance(value, str) else read) == parsed.get("TESTING")
    assert text.startswith("".join(card.image for card in parsed))


def foreign(path: Path) -> Path:
    """A FITS file with what no schema of ours knows."""
    table = fits.BinTableHDU.from_columns(
        [fits.Column("a", "J", array=[1, 2]), fits.Column("v", "PE()", array=[[1.0], [2.0, 3.0]])],
        name="OTHER",
    )
    primary = fits.PrimaryHDU()
    primary.header["DATAMODL"] = "ImageModel"
    primary.header["INSTRUME"] = "MIRI"
    primary.header["OBSERVER"] = ("Vera", "who was there")
    primary.header["HIERARCH long keyword"] = 5
    primary.header["LONGTEXT"] = "x" * 150
    primary.header["UNDEF"] = None
    primary.header.add_comment("a comment")
    primary.header.add_history("it happened")
    primary.header.add_blank("   a heading")
    science = fits.ImageHDU(np.ones((3, 4), np.float32), name="SCI")
    science.header["MYKEY"] = 1.5
    second = fits.ImageHDU(np.full((2, 2), 7, np.int16), name="SCI", ver=2)
    empty = fits.ImageHDU(name="NOTHING")
    fits.HDUList([primary, science, second, table, empty]).writeto(path)
    return path


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


def test_unknown_keywords_that_the_peer_keeps_in_asdf(tmp_path: Path) -> None:
    """Keywords and arrays under `extra_fits` of an ASDF file survive as keywords and arrays."""
    cards_ = [["OBSERVER", "Vera", "who"], ["HISTORY", "it happened", ""], ["FWHM", 2.5, ""]]
    extra = {"PRIMARY": {"header": cards_}, "MORE": {"data": np.arange(20.0)}}
    tree = {"data": np.zeros((2, 2), "f4"), "meta": {"model_type": "ImageModel"}}
    asdf.AsdfFile(tree | {"extra_fits": extra}).write_to(tmp_path / "x.asdf")
    path = models.open(tmp_path / "x.asdf").save(tmp_path / "x.fits")
    path = models.open(path).save(tmp_path / "again.fits")
    header = fits.getheader(path)
    assert ("Vera", 2.5, "it happened") == (
        header["OBSERVER"],
        header["FWHM"],
        str(header["HISTORY"]),
    )
    with asdf.open(io.BytesIO(fits.getdata(path, "ASDF").tobytes())) as found:
        np.testing.assert_array_equal(np.arange(20.0), found["extra_fits"]["MORE"]["data"])


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


def with_card(path: Path, keyword: str, value: object) -> None:
    """Put a card into the last header, in the place of one of its keyword or before END."""
    content = path.read_bytes()
    last = content.rindex(b"XTENSION")
    end = content.index(b"END" + b" " * 77, last)
    card = f"{keyword:<8}= {value!s:>20}".ljust(80).encode()
    at = content.find(f"{keyword:<8}=".encode(), last, end)
    if at < 0:
        path.write_bytes(content[:end] + card + content[end : end + 80] + content[end + 160 :])
    else:
        path.write_bytes(content[:at] + card + content[at + 80 :])


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


def add_tree(path: Path, tree: dict[str, Any]) -> None:
    """Append an ASDF extension as other software writes it."""
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer)
    data = np.frombuffer(buffer.getvalue(), np.uint8)[None, :]
    column = fits.Column("ASDF_METADATA", f"{data.shape[1]}B", array=data)
    with fits.open(path, mode="append") as units:
        units.append(fits.BinTableHDU.from_columns([column], name="ASDF"))


@pytest.mark.parametrize("way", [[".fits"], [".asdf"], [".asdf", ".fits"], [".fits", ".fits.gz"]])
def test_rich_objects_and_their_blocks_survive(tmp_path: Path, way: list[str]) -> None:
    """Tagged objects that this package does not know, with binary blocks, are carried along."""
    path = foreign(tmp_path / "x.fits")
    wide = np.arange(1000.0).reshape(10, 100)
    tree = {"meta": {"wcs": {"lookup": wide, "same": wide, "z": 1 + 2j}}, "spare": np.arange(300)}
    add_tree(path, tree)
    for number, ending in enumerate(way):
        path = models.open(path).save(tmp_path / f"{number}{ending}")
    if path.name.endswith(".asdf"):
        stream = path.open("rb")
    else:
        stream = io.BytesIO(fits.getdata(path, "ASDF").tobytes())
    with stream, asdf.open(stream) as found:
        np.testing.assert_array_equal(wide, found["meta"]["wcs"]["lookup"])
        np.testing.assert_array_equal(wide, found["meta"]["wcs"]["same"])
        assert 1 + 2j == found["meta"]["wcs"]["z"]
        np.testing.assert_array_equal(np.arange(300), found["spare"])


@pytest.mark.parametrize("compression", [None, "zlib", "bzp2"])
@pytest.mark.parametrize("storage", ["internal", "inline"])
def test_asdf_files_of_other_software(
    tmp_path: Path, compression: str | None, storage: str
) -> None:
    """Files of the asdf library open: compressed or inline arrays, strides, tables, dates."""
    path = tmp_path / "x.asdf"
    table = np.array([(1, 2.5, b"abc")], [("number", ">i4"), ("value", "<f8"), ("text", "S3")])
    tree = {"data": np.arange(12.0)[::2].reshape(2, 3).T.astype("f4").T, "table": table}
    tree["meta"] = {"instrument": {"name": "FGS"}, "model_type": "ImageModel"}
    file = asdf.AsdfFile(tree)
    file.write_to(path, all_array_compression=compression, all_array_storage=storage)
    read = models.open(path)
    np.testing.assert_array_equal(tree["data"], read.data)
    np.testing.assert_array_equal(tree["data"][:, 1], read.read("data", np.s_[:, 1]))
    again = models.open(read.save(tmp_path / "again.fits")).save(tmp_path / "again.asdf")
    with asdf.open(again) as found:
        assert "FGS" == found["meta"]["instrument"]["name"]
        np.testing.assert_array_equal(table["value"], found["table"]["value"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_opening_metadata(image: models.ImageModel, tmp_path: Path, ending: str) -> None:
    """Headers tell model, metadata and shapes; the tree tells the rest."""
    path = image.save(tmp_path / f"x{ending}")
    metadata = models.open_metadata(path)
    assert "ImageModel" == metadata.model_type
    assert image.shapes == metadata.shapes
    assert ("NIRCAM", "Vera") == (metadata.meta.instrument.name, metadata.meta.observer.name)
    assert image.to_flat_dict() == metadata.to_flat_dict()


def test_models_are_guessed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without DATAMODL the class follows from REFTYPE or the dimensions, and the log says so."""
    path = tmp_path / "x.fits"
    for shape, reftype, expected in [
        ((2, 2), None, "ImageModel"),
        ((2, 2, 2), None, "CubeModel"),
        ((1, 2, 2, 2), None, "RampModel"),
        ((2, 2), "GAIN", "GainModel"),
        ((1, 2, 2, 2), "DARK", "DarkMIRIModel"),
        ((2, 2), "PHOTOM", "ReferenceFileModel"),
    ]:
        caplog.clear()
        primary = fits.PrimaryHDU()
        if reftype:
            primary.header["REFTYPE"] = reftype
        science = fits.ImageHDU(np.zeros(shape, np.float32), name="SCI")
        fits.HDUList([primary, science]).writeto(path, overwrite=True)
        with caplog.at_level("INFO", logger="stpipe"):
            assert expected == type(models.open(path)).__name__
        assert f"{path} is opened as {expected}: it names no model" in caplog.text


def test_other_models_are_refused(image: models.ImageModel, tmp_path: Path) -> None:
    """A file is not read as a model that it is not; unknown ones are tried."""
    path = image.save(tmp_path / "x.fits")
    with pytest.raises(
        InputError, match=r"x.fits is of the model ImageModel; RampModel reads RampModel, L"
    ):
        models.RampModel(path)
    with pytest.raises(InputError, match=r"Use models.open to open a file as what it is"):
        models.CubeModel(image)
    with fits.open(path, mode="update") as units:
        units[0].header["DATAMODL"] = "StrangeModel"
    assert (5, 7) == models.ImageModel(path).shape
    with pytest.raises(InputError, match=r"x.fits is no CubeModel: data .* allowed are 3 dimens"):
        models.CubeModel(path)


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    cut = {"empty": 0, "header": 300, "data": 2880 * 3 - 500, "noise": len(data)}[kind]
    path.write_bytes(b"\x7fELF noise" * 40 if kind == "noise" else data[:cut])


@pytest.mark.parametrize(
    ("ending", "kind", "message"),
    [
        (".fits", "empty", "is neither FITS, ASDF nor ECSV: it is empty"),
        (".fits", "header", r"is damaged: the header at byte 0 has no END before byte 300"),
        (".fits", "data", r"x.fits is incomplete: the data of extension \w+ should end at byte"),
        (".fits", "noise", r"is neither FITS, ASDF nor ECSV: it starts with b'.x7fELF"),
        (".asdf", "data", r"is incomplete: a block should end at byte"),
        (".fits.gz", "header", r"is a damaged gzip file"),
    ],
)
def test_damaged_files_are_noticed_when_opened(
    image: models.ImageModel, tmp_path: Path, ending: str, kind: str, message: str
) -> None:
    """One clear sentence names the file and what was found; no traceback of a library."""
    rng = np.random.default_rng(3)
    for name in ("data", "err", "var_poisson"):
        setattr(image, name, rng.random((30, 30)))
    image.dq = None
    path = image.save(tmp_path / f"x{ending}")
    damage(path, kind)
    for read in (models.open, models.open_metadata, models.ImageModel):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert 3 == caught.value.exit_code
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    model = models.MaskModel(np.full((2, 3), dqflags.DEAD, np.uint32))
    model.dq_def = np.array([(0, 1, b"DEAD", b"no")], model.schema.fields["dq_def"].dtype)
    model.meta.instrument.name = "FGS"
    model.set("meta.note", {"a": [1, 2.5, None]})
    for ending in (".fits", ".asdf"):
        model.save(folder / f"good{ending}")
    return folder


WORDS = [b"= ", b"NAXIS", b"BITPIX", b"TFORM", b"shape", b": ", b"TDIM", b"BLK"]


def damaged(good: bytes, seed: int) -> bytes:
    """Some bytes changed near words that mean something, sometimes the end cut off."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    content = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        word = rng.choice(WORDS)
        places = [at for at in range(len(content)) if content.startswith(word, at)] or [0]
        at = min(rng.choice(places) + rng.randint(0, 30), len(content) - 1)
        content[at] = rng.choice(b"09-'. TFAXPQ[]{}:!&*\x00\xff")
    return bytes(content[: rng.choice([None, None, rng.randint(0, len(content))])])


@pytest.mark.parametrize("ending", [".fits", ".asdf"])
def test_no_damage_ends_in_a_traceback(small: Path, ending: str) -> None:
    """Whatever is wrong with a file, it opens or is refused in a sentence that names it."""
    good = (small / f"good{ending}").read_bytes()
    path = small / f"bad{ending}"
    refused = []
    for seed in range(500):
        path.write_bytes(damaged(good, seed))
        try:
            with models.open(path) as model:
                assert set(model.shapes) == {n for n in model.shapes if getattr(model, n).shape}
                model.to_flat_dict()
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert [] == [message for message in refused if path.name not in message]


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    """Missing files and folders are said to be just that."""
    with pytest.raises(InputError, match=r"There is no file .*nothing.fits; check the name"):
        models.open(tmp_path / "nothing.fits")
    with pytest.raises(InputError, match="is a folder; give a FITS or ASDF file in it"):
        models.open(tmp_path)


def test_pipes_and_names_that_no_file_can_have(tmp_path: Path) -> None:
    """Nothing waits for somebody who writes into a pipe."""
    os.mkfifo(tmp_path / "x.fits")
    with pytest.raises(InputError, match=r"x\.fits is no file, but a pipe or device"):
        models.open(tmp_path / "x.fits")
    for name in ("a\0.fits", "a" * 5000):
        with pytest.raises(InputError, match=r"a.* cannot be read: "):
            models.open(name)


def test_structures_that_are_not_understood(tmp_path: Path) -> None:
    """Known extensions in a form that cannot be read are refused with a way out."""
    path = tmp_path / "x.fits"
    data = np.zeros((20, 20), np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, name="SCI")]).writeto(path)
    with pytest.raises(InputError, match="compressed by tiles; unpack it with funpack"):
        models.ImageModel(path)


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


def test_invalid_models_are_refused_with_every_problem(
    image: models.ImageModel, tmp_path: Path
) -> None:
    """All problems at once, by attribute, keyword, found and allowed; an old file stays."""
    path = image.save(tmp_path / "x.fits")
    before = path.read_bytes()
    image._content.tree["meta"]["instrument"]["name"] = "WFC3"
    image._content.tree["meta"]["exposure"]["nints"] = "two"
    image._content.arrays["dq"] = np.zeros((5, 7))
    with pytest.raises(ValidationError) as caught:
        image.save(path)
    lines = str(caught.value).splitlines()
    assert "ImageModel does not conform to image.schema.json:" == lines[0]
    assert 4 == len(lines)
    for line, words in zip(
        lines[1:], [("INSTRUME", "'WFC3'", "'NIRCAM'"), ("NINTS", "integer"), ("DQ", "float64")],
        strict=True,
    ):  # fmt: skip
        assert all(word in line for word in words)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_words_of_json_schema_are_checked_on_saving(tmp_path: Path) -> None:
    """Patterns, bounds and required attributes hold when the file is written."""
    schema = tmp_path / "strict.schema.json"
    schema.write_text("""{"required": ["level", "data"], "properties": {
        "level": {"type": "number", "minimum": 0, "maximum": 10},
        "name": {"type": "string", "fits_keyword": "NAME", "pattern": "^[a-z]+$"},
        "data": {"type": "data", "fits_hdu": "SCI", "dtype": "float32"}}}""")
    model = models.model_class(schema)()
    model.name = "Vera"
    with pytest.raises(ValidationError) as caught:
        model.save(tmp_path / "x.fits")
    assert [
        "  name (FITS keyword NAME) is 'Vera'; the schema demands {'pattern': '^[a-z]+$'}.",
        "  data is required and not set.",
        "  level is required and not set.",
    ] == str(caught.value).splitlines()[1:]
    model.name, model.level, model.data = "vera", 11, np.zeros(3)
    with pytest.raises(ValidationError, match=r"level is 11; the schema demands \{'maximum': 10\}"):
        model.save(tmp_path / "x.fits")
    model.level = 9.5
    assert 9.5 == models.open_metadata(model.save(tmp_path / "x.fits")).get("level", 9.5)


def test_nothing_is_left_when_writing_fails(image: models.ImageModel, tmp_path: Path) -> None:
    """A failing write leaves neither a temporary file nor a changed target."""
    path = image.save(tmp_path / "x.fits")
    before = path.read_bytes()
    read = models.open(path)
    path.write_bytes(before[:-1] + b"!")
    with pytest.raises(InputError, match="has changed since it was opened"):
        read.save(tmp_path / "y.fits")
    assert [path] == list(tmp_path.iterdir())


def test_places_that_cannot_be_written(image: models.ImageModel, tmp_path: Path) -> None:
    """A missing folder and an unknown ending are said to be just that."""
    with pytest.raises(StpipeError, match=r"y.fits cannot be written: No such file or directory"):
        image.save(tmp_path / "no" / "y.fits")
    with pytest.raises(UsageError, match=r"must end in .fits.gz, .fits, .asdf"):
        image.save(tmp_path / "y.txt")


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    """FITS headers cannot hold NaN and infinity; the tree can."""
    model = models.ImageModel(np.zeros((1, 1)))
    model.meta.exposure.start_time, model.meta.exposure.end_time = math.nan, math.inf
    path = model.save(tmp_path / "x.fits")
    assert "EXPSTART" not in fits.getheader(path)
    assert math.isnan(models.open(path).meta.exposure.start_time)
    assert math.inf == models.open_metadata(path).meta.exposure.end_time


def test_integers_of_the_wrong_sign_keep_their_bits(tmp_path: Path) -> None:
    """Masks exist that were written as signed integers."""
    path = tmp_path / "x.fits"
    science = fits.ImageHDU(np.zeros((1, 2), np.float32), name="SCI")
    mask = fits.ImageHDU(np.array([[-(2**31), 3]], np.int32), name="DQ")
    fits.HDUList([fits.PrimaryHDU(), science, mask]).writeto(path)
    np.testing.assert_array_equal([[2**31, 3]], models.ImageModel(path).dq)


def test_importing_models_imports_nothing_heavy() -> None:
    """`import stpipe.models` and opening a FITS file stay clear of slow packages."""
    heavy = ["astropy", "asdf", "jsonschema", "yaml", "crds", "scipy"]
    code = f"import sys, stpipe.models; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_fits_files_need_neither_astropy_nor_asdf(image: models.ImageModel, tmp_path: Path) -> None:
    """Reading and writing FITS, rich trees included, imports neither package."""
    path = image.save(tmp_path / "x.fits")
    code = (
        "import sys; from stpipe import models; m = models.open(sys.argv[1]); m.data; "
        "m.meta.exposure.nints = 1; m.save(sys.argv[1]); "
        "print([n for n in ('astropy', 'asdf', 'jsonschema') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


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


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.get("meta.mine"),
        lambda model: len(model.to_flat_dict()),
        lambda model: [part.name for part in model.slits],
        lambda model: id(model.slits[2]),
        lambda model: model.copy().get("meta.mine"),
    ],
)
def test_threads_read_one_model(tmp_path: Path, ask: Callable[[Any], Any]) -> None:
    """What the tree of a file tells is there for all threads, whoever brings it in."""
    model = models.MultiSlitModel()
    model.slits = [{"name": str(n), "data": np.ones((2, 2), np.float32)} for n in range(9)]
    model.set("meta.mine", "here")
    path = model.save(tmp_path / "x.fits")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            for _ in range(20):
                opened, together = models.open(path), threading.Barrier(8)
                found = threads.map(lambda _: (together.wait(), ask(opened))[1], range(8))  # noqa: B023 - ends here
                assert 1 == len({str(each) for each in found})
    finally:
        sys.setswitchinterval(interval)
