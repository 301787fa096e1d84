"""Legal FITS files of unusual forms: written by astropy, read by us, saved plainly, read by astropy."""

from __future__ import annotations

import bz2
import json
import lzma
import sys
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits
from model_files import with_card

from stpipe import models
from stpipe.errors import InputError

ALGORITHMS = ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"]
RNG = np.random.default_rng(5)


def primary(model: str = "ImageModel") -> fits.PrimaryHDU:
    unit = fits.PrimaryHDU()
    unit.header["DATAMODL"] = model
    unit.header["OBSERVER"] = "Vera"
    return unit


def saved_plainly(path: Path) -> fits.HDUList:
    """What astropy finds in our file."""
    with fits.open(path) as units:
        units.verify("exception")
        return fits.HDUList([unit.copy() for unit in units])


@pytest.mark.parametrize("name", ["x.fits.fz", "x.fits"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_images_compressed_by_tiles(tmp_path: Path, algorithm: str, name: str) -> None:
    """Every algorithm: the pixels that astropy has, of floats and integers, in sections and whole."""
    science = RNG.normal(100, 5, (40, 50)).astype(np.float32)
    if algorithm != "PLIO_1":  # it packs numbers from 0 on
        science[3, 4] = np.nan
    mask = RNG.integers(0, 200, (40, 50)).astype(np.int32)
    units = fits.HDUList([primary()])
    units.append(fits.CompImageHDU(science, name="SCI", compression_type=algorithm))
    units.append(fits.CompImageHDU(mask, name="DQ", compression_type=algorithm))
    units["SCI"].header["PHOTMJSR"] = 2.5
    units["SCI"].header["MYKEY"] = "kept"
    units.writeto(tmp_path / name)
    with fits.open(tmp_path / name) as found:
        expected = found["SCI"].data.copy()
    assert (40, 50) == models.open_metadata(tmp_path / name).shapes["data"]
    with models.open(tmp_path / name) as model:
        assert isinstance(model, models.ImageModel)
        assert 2.5 == model.meta.photometry.conversion_megajanskys
        np.testing.assert_array_equal(expected[5:7, ::3], model.read("data", np.s_[5:7, ::3]))
        np.testing.assert_array_equal(expected, model.data)
        np.testing.assert_array_equal(mask, model.dq)
        again = saved_plainly(model.save(tmp_path / "again.fits"))
    assert type(again["SCI"]) is fits.ImageHDU
    np.testing.assert_array_equal(expected, again["SCI"].data)
    np.testing.assert_array_equal(mask, again["DQ"].data)
    header = again["SCI"].header
    assert "kept" == header["MYKEY"]
    assert not [key for key in header if key.startswith(("Z", "TTYPE", "TFORM"))]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("algorithm", ["RICE_1", "GZIP_1", "GZIP_2"])
def test_integers_of_all_kinds(tmp_path: Path, algorithm: str, dtype: str) -> None:
    """Unsigned ones, too, which files offset by half their range."""
    info = np.iinfo(dtype)
    values = RNG.integers(info.min, info.max, (2, 3, 8, 9), dtype=dtype, endpoint=True)
    schema = tmp_path / "s.schema.json"
    place = {"type": "data", "fits_hdu": "SCI", "dtype": dtype}
    schema.write_text(json.dumps({"properties": {"data": place}}))
    unit = fits.CompImageHDU(
        values, name="SCI", compression_type=algorithm, tile_shape=(1, 2, 3, 9)
    )
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(tmp_path / "x.fits")
    model = models.model_class(schema)(tmp_path / "x.fits")
    np.testing.assert_array_equal(values[1, :, 4], model.read("data", np.s_[1, :, 4]))
    np.testing.assert_array_equal(values, model.data)
    again = saved_plainly(model.save(tmp_path / "again.fits"))
    np.testing.assert_array_equal(values, again["SCI"].data)


def test_compressed_images_in_lists_and_of_others(tmp_path: Path) -> None:
    """Slits are unpacked into one scratch file; what no schema knows is carried over as it is."""
    units = fits.HDUList([primary("MultiSlitModel")])
    for number in range(1, 4):
        pixels = np.full((6, 7), number, np.float32)
        units.append(fits.CompImageHDU(pixels, name="SCI", compression_type="GZIP_1"))
        units[-1].header["EXTVER"] = number
    units.append(fits.CompImageHDU(np.arange(20, dtype=np.int32).reshape(4, 5), name="MINE"))
    units.writeto(tmp_path / "x.fits")
    for ending in (".fits", ".asdf", ".fits.gz"):
        model = models.open(tmp_path / "x.fits")
        assert [1, 2, 3] == [slit.data.max() for slit in model.slits]
        model = models.open(model.save(tmp_path / f"again{ending}"))
        again = saved_plainly(model.save(tmp_path / "last.fits"))
        assert isinstance(again["MINE"], fits.CompImageHDU)
        np.testing.assert_array_equal(np.arange(20).reshape(4, 5), again["MINE"].data)


def test_a_primary_image_that_fpack_moved(tmp_path: Path) -> None:
    """It and its keywords are in the first extension then; they are the primary's."""
    unit = fits.CompImageHDU(np.arange(6).reshape(2, 3).astype(np.int16), compression_type="RICE_1")
    unit.header["DATAMODL"], unit.header["INSTRUME"] = "ImageModel", "MIRI"
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(tmp_path / "x.fits.fz")
    path = tmp_path / "x.fits.fz"
    content = path.read_bytes()
    at = content.index(b"ZTENSION=")
    moved = b"ZSIMPLE =                    T".ljust(80)
    path.write_bytes(content[:at] + moved + content[at + 80 :])
    model = models.open(path)
    assert ("ImageModel", "MIRI") == (type(model).__name__, model.meta.instrument.name)
    assert "MIRI" == saved_plainly(model.save(tmp_path / "y.fits"))[0].header["INSTRUME"]


def test_what_nobody_unpacks(tmp_path: Path) -> None:
    """Unknown algorithms, compressed tables and bombs: refused with a way out, and not as damaged."""
    path = tmp_path / "x.fits"
    unit = fits.CompImageHDU(np.zeros((20, 20), np.int16), name="SCI", compression_type="RICE_1")
    fits.HDUList([primary(), unit]).writeto(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"'RICE_1  '", b"'MAGIC_9 '"))
    with pytest.raises(InputError, match=r'SCI,1\]: .*compressed by "MAGIC_9"; known are RICE_1'):
        models.open(path)
    path.write_bytes(content)
    with_card(path, "ZNAXIS1", 100_000)
    with_card(path, "ZNAXIS2", 200_000)
    with pytest.raises(InputError, match=r"an image of 40000000000 bytes in \d+ compressed ones"):
        models.open(path)
    path.write_bytes(content.replace(b"ZIMAGE  =", b"ZTABLE  ="))
    with pytest.raises(InputError, match="table is compressed by tiles; unpack the file with funp"):
        models.open(path)


def test_damaged_tiles(tmp_path: Path) -> None:
    """They are noticed on the first touch, in one sentence."""
    path = tmp_path / "x.fits"
    pixels = RNG.integers(0, 1000, (20, 20)).astype(np.int16)
    units = fits.HDUList(
        [primary(), fits.CompImageHDU(pixels, name="SCI", compression_type="GZIP_1")]
    )
    units.writeto(path)
    content = bytearray(path.read_bytes())
    content[-2880:-2000] = bytes(range(110)) * 8
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"x.fits\[SCI,1\] is damaged: it cannot be unpacked"):
        _ = models.open(path).data


# --- tables ----------------------------------------------------------------------------------------


def table_model(tmp_path: Path, columns: list[dict[str, Any]] | None = None) -> Any:
    """A model class whose schema knows the table T."""
    schema = tmp_path / "table.schema.json"
    known = {"type": "data", "fits_hdu": "T", "dtype": columns or []}
    schema.write_text(json.dumps({"properties": {"table": known}}))
    return models.model_class(schema)


def cells(values: list[Any], dtype: str) -> Any:
    """As astropy wants cells of different lengths."""
    found = np.empty(len(values), object)
    found[:] = [np.array(value, dtype) for value in values]
    return found


KINDS = {"B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8", "C": "c8", "M": "c16"}


@hypothesis.given(
    letter=st.sampled_from(sorted(KINDS)),
    heap=st.sampled_from("PQ"),
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    data=st.data(),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_cells_of_different_lengths(
    tmp_path_factory: pytest.TempPathFactory,
    letter: str,
    heap: str,
    lengths: list[int],
    data: st.DataObject,
) -> None:
    """P and Q: every item is in its row; short cells are filled up, and saved as plain columns."""
    folder = tmp_path_factory.mktemp("variable")
    bits = data.draw(st.lists(st.integers(0, 100), min_size=sum(lengths), max_size=sum(lengths)))
    ends = np.cumsum(lengths)
    expected = [bits[end - n : end] for n, end in zip(lengths, ends, strict=True)]
    column = fits.Column("v", f"{heap}{letter}()", array=cells(expected, KINDS[letter]))
    plain = fits.Column("n", "J", array=np.arange(len(lengths)))
    table = fits.BinTableHDU.from_columns([plain, column], name="T")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "x.fits")
    known = [{"name": "n", "dtype": "int32"}, {"name": "v", "dtype": np.dtype(KINDS[letter]).name}]
    model = table_model(folder, known)(folder / "x.fits")
    for ending in (".fits", ".asdf", ".fits"):
        found = model.table
        np.testing.assert_array_equal(np.arange(len(lengths)), found["n"])
        assert np.dtype(KINDS[letter]) == found["v"].dtype
        for row, values in zip(found["v"].reshape(len(lengths), -1), expected, strict=True):
            np.testing.assert_array_equal(values, row[: len(values)])
            rest = row[len(values) :]
            assert np.isnan(rest).all() if letter in "EDCM" else not rest.any()
        model = type(model)(model.save(folder / f"again{ending}"))
    units = saved_plainly(folder / "again.fits")
    if max(lengths) > 0:
        assert (
            units["T"].columns["v"].format == f"{max(lengths) if max(lengths) > 1 else ''}{letter}"
        )


def test_texts_truth_values_and_unsigned_integers_of_different_lengths(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Values as they are meant; one warning says what is filled up, and with what."""
    columns = [
        fits.Column("text", "PA()", array=np.array(["abc", "defgh", ""])),
        fits.Column("truth", "PL()", array=cells([[True], [], [False, True]], "?")),
        fits.Column("count", "PI()", array=cells([[-32768, 32767], [3], []], "i2")),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="T")
    table.header["TZERO3"], table.header["TSCAL3"] = 32768, 1
    table.header["TUNIT3"] = "s"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "x.fits")
    known = [{"name": "count", "dtype": "uint16"}]
    with caplog.at_level("WARNING"):
        model = table_model(tmp_path, known)(tmp_path / "x.fits")
    assert [b"abc", b"defgh", b""] == model.table["text"].tolist()
    assert [[True, False], [False, False], [False, True]] == model.table["truth"].tolist()
    assert [[0, 65535], [32771, 0], [0, 0]] == model.table["count"].tolist()
    assert {"count": "s"} == model.units("table")
    (record,) = caplog.records
    assert (
        "the column count have from 0 to 2 items; short ones are filled up with 0" in record.message
    )
    again = saved_plainly(model.save(tmp_path / "again.fits"))
    assert [[0, 65535], [32771, 0], [0, 0]] == again["T"].data["count"].tolist()


def test_cells_beyond_the_heap_and_absurd_ones(tmp_path: Path) -> None:
    """Damage is called damage; a long cell among a million short ones is refused with a way out."""
    column = fits.Column("v", "PE()", array=cells([[1, 2], [3]], "f4"))
    table = fits.BinTableHDU.from_columns([column], name="T")
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    content = path.read_bytes()
    at = 2 * 2880 + 4
    path.write_bytes(content[:at] + (9).to_bytes(4, "big") + content[at + 4 :])
    kind = table_model(tmp_path, [{"name": "v", "dtype": "float32"}])
    with pytest.raises(
        InputError, match=r"damaged.*a cell of v is not within the heap of 12 bytes"
    ):
        kind(path)
    long = fits.Column("v", "PB()", array=cells([[0] * 30_000, *([[]] * 30_000)], "u1"))
    units = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([long], name="T")])
    units.writeto(tmp_path / "long.fits")
    with pytest.raises(InputError, match=r"cells of the column v have up to 30000 items; .*Leave"):
        table_model(tmp_path, [{"name": "v", "dtype": "uint8"}])(tmp_path / "long.fits")


@pytest.mark.parametrize("heap", ["P", "Q"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("value", [-1, 13, 2**31 - 1, 2**62])
def test_descriptors_that_lie(tmp_path: Path, heap: str, place: int, value: int) -> None:
    """Counts and places beyond the heap, negative, or so large that their sum is not."""
    column = fits.Column("v", f"{heap}E()", array=cells([[1, 2], [3]], "f4"))
    path = tmp_path / "x.fits"
    table = fits.BinTableHDU.from_columns([column], name="T")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    width = 4 if heap == "P" else 8
    at = 2 * 2880 + place * width
    lie = (value % (1 << 8 * width)).to_bytes(width, "big")
    content = path.read_bytes()
    path.write_bytes(content[:at] + lie + content[at + width :])
    if lie == bytes(width):  # of 2**62 in four bytes nothing is left
        return
    with pytest.raises(InputError, match=r"x.fits is damaged: .*not within the heap of 12 bytes"):
        table_model(tmp_path, [{"name": "v", "dtype": "float32"}])(path)


def test_integers_are_filled_up_with_tnull(tmp_path: Path) -> None:
    """When the column has one, whoever reads the product sees that there is nothing."""
    column = fits.Column("v", "PJ()", null=-99, array=cells([[1, 2], [3], []], "i4"))
    table = fits.BinTableHDU.from_columns([column], name="T")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "x.fits")
    model = table_model(tmp_path, [{"name": "v", "dtype": "int32"}])(tmp_path / "x.fits")
    assert [[1, 2], [3, -99], [-99, -99]] == model.table["v"].tolist()
    again = saved_plainly(model.save(tmp_path / "again.fits"))
    assert -99 == again["T"].header["TNULL1"]


def test_complex_columns(tmp_path: Path) -> None:
    """C and M, also scaled, which complex numbers may be."""
    values = np.array([1 + 2j, -3.5j])
    columns = [fits.Column(n, form, array=values) for n, form in (("c", "C"), ("m", "M"))]
    columns.append(fits.Column("many", "2M", array=np.array([values, values])))
    table = fits.BinTableHDU.from_columns(columns, name="T")
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    with_card(path, "TSCAL2", 2.0)
    with_card(path, "TZERO2", 0.5)
    kind = table_model(tmp_path, [{"name": "c", "dtype": "complex64"}])
    model = kind(path)
    for _ in range(2):
        np.testing.assert_array_equal(values, model.table["c"])
        np.testing.assert_array_equal(2 * values + 0.5, model.table["m"])
        np.testing.assert_array_equal([values, values], model.table["many"])
        model = kind(model.save(tmp_path / "again.fits"))
    again = saved_plainly(tmp_path / "again.fits")
    np.testing.assert_array_equal(2 * values + 0.5, again["T"].data["m"])


def test_tables_of_text(tmp_path: Path) -> None:
    """XTENSION TABLE becomes a binary table."""
    columns = [
        fits.Column("n", "I6", ascii=True, array=[1, -2]),
        fits.Column("x", "E15.7", ascii=True, array=[1.5, 2e10]),
        fits.Column("t", "A5", ascii=True, array=["ab", "cdefg"]),
    ]
    table = fits.TableHDU.from_columns(columns, name="T")
    fits.HDUList([fits.PrimaryHDU(), table, fits.TableHDU.from_columns(columns, name="O")]).writeto(
        tmp_path / "x.fits"
    )
    known = [{"name": "n", "dtype": "int32"}, {"name": "x", "dtype": "float64"}]
    model = table_model(tmp_path, known)(tmp_path / "x.fits")
    again = saved_plainly(model.save(tmp_path / "again.fits"))
    assert isinstance(again["O"], fits.TableHDU)
    for found in (model.table, again["T"].data):
        assert ([1, -2], [1.5, 2e10]) == (found["n"].tolist(), found["x"].tolist())
    assert [b"ab", b"cdefg"] == model.table["t"].tolist()


# --- whole files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "pack"), [("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_files(tmp_path: Path, image: models.ImageModel, ending: str, pack: Any) -> None:
    """bzip2 and xz, also several in one file, are unpacked as gzip is."""
    content = image.save(tmp_path / "x.fits").read_bytes()
    path = tmp_path / f"x.fits.{ending}"
    path.write_bytes(pack(content[:4000]) + pack(content[4000:]))
    model = models.open(path)
    np.testing.assert_array_equal(image.data, model.data)
    again = saved_plainly(model.save(tmp_path / "again.fits"))
    np.testing.assert_array_equal(image.data, again["SCI"].data)
    path.write_bytes(pack(content)[:-30])
    with pytest.raises(InputError, match=r"is a damaged (bzip2|xz) file .*; get it again"):
        models.open(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_last_block_without_padding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, compressed: bool
) -> None:
    """Nothing is missing but zeros: read, with a warning that says so."""
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    pixels = RNG.integers(0, 9, (7, 5)).astype(np.int32)
    path = tmp_path / "x.fits"
    fits.HDUList([primary(), kind(pixels, name="DQ")]).writeto(path)
    with fits.open(path, disable_image_compression=True) as units:
        info = units[1].fileinfo()
        size = units[1].size
    path.write_bytes(path.read_bytes()[: info["datLoc"] + size])
    with caplog.at_level("WARNING"):
        model = models.open(path)
    np.testing.assert_array_equal(pixels, model.dq)
    assert "the last block is not filled up" in caplog.records[0].message
    assert f"ends at byte {info['datLoc'] + size} and should end at" in caplog.records[0].message
    again = saved_plainly(model.save(tmp_path / "again.fits"))
    np.testing.assert_array_equal(pixels, again["DQ"].data)


def test_members_of_a_library(tmp_path: Path) -> None:
    """What is only read has a plain namesake when it is replaced or saved."""
    unit = fits.CompImageHDU(np.ones((4, 5), np.float32), name="SCI", compression_type="GZIP_1")
    fits.HDUList([primary(), unit]).writeto(tmp_path / "a_cal.fits.fz")
    with models.ModelLibrary([tmp_path / "a_cal.fits.fz"]) as library:
        library[0] = library[0]
        (path,) = library.save(tmp_path / "out")
    assert "a_cal.fits" == path.name
    np.testing.assert_array_equal(1, models.open(path).data)


def test_plain_files_need_no_astropy(tmp_path: Path, image: models.ImageModel) -> None:
    """It is imported when an unusual file turns up, and not before."""
    import subprocess

    path = image.save(tmp_path / "x.fits")
    code = (
        "import sys; from stpipe import models; "
        f"m = models.open({str(path)!r}); m.data; m.save({str(path) + 's.fits'!r}); "
        "sys.exit('astropy' in sys.modules or 'asdf' in sys.modules)"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
