"""Legal ASDF files of unusual forms: written by asdf, read by us, saved, read by asdf again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import asdf
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from asdf.tags.core import Stream
from astropy import units as u
from astropy.io import fits
from astropy.table import MaskedColumn, QTable

from stpipe import models
from stpipe.errors import InputError

DATA = np.arange(12, dtype=np.float32).reshape(3, 4)
OTHER = np.arange(300.0)
META = {"model_type": "ImageModel", "instrument": {"name": "FGS"}}


def tree(**more: Any) -> dict[str, Any]:
    return {"meta": META, "data": DATA, "spare": {"numbers": OTHER}} | more


def check(path: Path, folder: Path, expected: Any = DATA) -> models.DataModel:
    """Open it, compare it, save it in every format, and have asdf compare those."""
    model = models.open(path)
    assert ("ImageModel", "FGS") == (type(model).__name__, model.meta.instrument.name)
    np.testing.assert_array_equal(expected, model.data)
    np.testing.assert_array_equal(expected[1:], model.read("data", np.s_[1:]))
    again = model.save(folder / "again.asdf")
    with asdf.open(again) as found:
        np.testing.assert_array_equal(expected, np.asarray(found["data"]))
        if "spare" in found:
            np.testing.assert_array_equal(OTHER, found["spare"]["numbers"])
    with fits.open(models.open(again).save(folder / "again.fits")) as units:
        units.verify("exception")
        np.testing.assert_array_equal(expected, units["SCI"].data)
    return models.open(folder / "again.fits")


@pytest.mark.parametrize("padding", [True, 0.1, 3.0])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_padded_blocks(tmp_path: Path, padding: Any, compression: str | None) -> None:
    """Between the tree and the first block, and within blocks."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile(tree()).write_to(path, pad_blocks=padding, all_array_compression=compression)
    check(path, tmp_path)
    assert [False, False] == [bool(each.problem) for each in models.verify(path)]


def test_padding_of_any_content(tmp_path: Path) -> None:
    """Even of what looks like the beginning of a block, over a limit of reading."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile(tree()).write_to(path, include_block_index=False)
    content = path.read_bytes()
    at = content.index(b"\xd3BLK")
    for size in (1, 65533, 65534, 65535, 65536, 200_000):
        path.write_bytes(content[:at] + (b"\xd3BL" * size)[:size] + content[at:])
        np.testing.assert_array_equal(DATA, models.open(path).data)


def test_streamed_blocks(tmp_path: Path) -> None:
    """The last block goes on to the end of the file; how many rows there are follows from that."""
    path = tmp_path / "x.asdf"
    with path.open("wb") as stream:
        asdf.AsdfFile(tree(data=Stream([4], np.float32))).write_to(stream)
        for row in DATA:
            stream.write(row.tobytes())
    assert (3, 4) == models.open_metadata(path).shapes["data"]
    check(path, tmp_path)
    with path.open("wb") as stream:  # one that no model knows, carried over before other blocks
        asdf.AsdfFile(tree(loose=Stream([4], np.float32))).write_to(stream)
        stream.write(DATA.tobytes())
    model = models.open(path)
    np.testing.assert_array_equal(DATA, model.get("loose"))
    model.set("meta.more", OTHER.tolist())
    for ending in (".asdf", ".fits"):
        again = models.open(model.save(tmp_path / f"loose{ending}"))
        np.testing.assert_array_equal(DATA, again.get("loose"))
        np.testing.assert_array_equal(OTHER, again.get("spare.numbers"))
    with asdf.open(tmp_path / "loose.asdf") as found:
        np.testing.assert_array_equal(DATA, found["loose"])


def test_external_blocks(tmp_path: Path) -> None:
    """In a file beside it; what is saved needs that no more."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "x.asdf"
    asdf.AsdfFile(tree()).write_to(path, all_array_storage="external")
    assert 3 == len(list(path.parent.iterdir()))
    check(path, tmp_path)
    for other in path.parent.glob("x0*.asdf"):
        other.rename(tmp_path / other.name)
    np.testing.assert_array_equal(DATA, models.open(tmp_path / "again.asdf").data)
    with pytest.raises(
        InputError, match=r"x.asdf: an array is in the file x000\d.asdf, which is not"
    ):
        models.open(path)


@pytest.mark.parametrize(
    "name", ["../x0000.asdf", "/etc/passwd", "http://a.b/c.asdf", "a/b.asdf", ".."]
)
def test_external_blocks_elsewhere(tmp_path: Path, name: str) -> None:
    """A file is no way into other folders."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile(tree()).write_to(path, all_array_storage="external")
    path.write_bytes(path.read_bytes().replace(b"x0000.asdf", name.encode()))
    with pytest.raises(InputError, match="allowed are files in the same folder"):
        models.open(path)


def test_other_files_that_are_none(tmp_path: Path) -> None:
    """A text beside it, or a tree without blocks."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile({"meta": META, "data": DATA}).write_to(path, all_array_storage="external")
    for content in (b"hello", b"#ASDF 1.0.0\n--- {}\n...\n"):
        (tmp_path / "x0000.asdf").write_bytes(content)
        with pytest.raises(InputError, match=r"x0000\.asdf, which has no block of ASDF"):
            models.open(path)


def test_blocks_without_a_tree(tmp_path: Path) -> None:
    """A tree is optional; files of blocks alone hold arrays of others."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile({"meta": META, "data": DATA}).write_to(path, all_array_storage="external")
    other = tmp_path / "x0000.asdf"
    content = other.read_bytes()
    other.write_bytes(b"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n" + content[content.index(b"\xd3BLK") :])
    check(path, tmp_path)


@pytest.mark.parametrize(
    ("unit", "expected"), [("MJy/sr", "MJy/sr"), ("DN/s", "DN/s"), ("electron", "electron")]
)
def test_quantities(tmp_path: Path, unit: str, expected: str) -> None:
    """The values are the array's, the unit is where models have units."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile(tree(data=DATA * u.Unit(unit), wht=DATA * u.Unit("s"))).write_to(path)
    again = check(path, tmp_path)
    assert expected == again.meta.bunit_data
    np.testing.assert_array_equal(DATA, again.wht)
    assert "s" == fits.getheader(tmp_path / "again.fits", "WHT")["BUNIT"]


def test_quantities_that_contradict_the_metadata(tmp_path: Path) -> None:
    """The same unit in other words is none; another one is refused."""
    path = tmp_path / "x.asdf"
    meta = META | {"bunit_data": "MJy / sr"}
    asdf.AsdfFile({"meta": meta, "data": DATA * u.Unit("MJy/sr")}).write_to(path)
    assert "MJy / sr" == models.open(path).meta.bunit_data
    asdf.AsdfFile({"meta": meta, "data": DATA * u.Unit("Jy")}).write_to(path)
    with pytest.raises(
        InputError, match=r"data has the unit Jy, and meta.bunit_data says MJy / sr"
    ):
        models.open(path)


def test_masked_arrays(tmp_path: Path) -> None:
    """Of floats they are NaN; of integers they are refused, as nobody knows what they mean."""
    path = tmp_path / "x.asdf"
    masked = np.ma.MaskedArray(DATA, DATA > 5)
    asdf.AsdfFile(tree(data=masked)).write_to(path)
    check(path, tmp_path, np.where(DATA > 5, np.nan, DATA).astype(np.float32))
    asdf.AsdfFile(tree(dq=np.ma.MaskedArray(DATA.astype(np.uint32), DATA > 5))).write_to(path)
    with pytest.raises(InputError, match=r"dq has masked values of uint32, .*filled"):
        models.open(path)


def test_tables_of_astropy(tmp_path: Path) -> None:
    """In the place of a table: columns with units, masked integers, coordinates."""
    names = ("xcentroid", "ycentroid", "sky_centroid.ra", "sky_centroid.dec")
    table = QTable({"label": np.arange(3), **{name: np.arange(3) + 0.5 for name in names}})
    table["flux"] = [1, 2, 3] * u.Jy
    table["n"] = MaskedColumn(np.arange(3), mask=[0, 1, 0])
    path = tmp_path / "x_cat.asdf"
    asdf.AsdfFile({"meta": {"model_type": "SourceCatalogModel"}, "catalog": table}).write_to(path)
    model = models.open(path)
    for ending in (".asdf", ".fits", ".ecsv"):
        assert [0, 1, 2] == model.catalog["label"].tolist()
        assert ("Jy", [1.0, 2.0, 3.0]) == (
            model.units("catalog")["flux"],
            model.catalog["flux"].tolist(),
        )
        model = models.open(model.save(tmp_path / f"again_cat{ending}"))
    found = QTable.read(tmp_path / "again_cat.ecsv", format="ascii.ecsv")
    assert [False, True, False] == found["n"].mask.tolist()


@pytest.mark.parametrize("form", ["inline", "plain list", "quantity", "stream"])
def test_files_that_name_no_model(tmp_path: Path, form: str) -> None:
    """The model follows from the dimensions, whatever form the array has."""
    path = tmp_path / "x.asdf"
    value = {"plain list": DATA.tolist(), "quantity": DATA * u.Jy, "stream": Stream([4], "f4")}
    file = asdf.AsdfFile({"data": value.get(form, DATA)})
    if form == "stream":
        with path.open("wb") as stream:
            file.write_to(stream)
            stream.write(DATA.tobytes())
    else:
        file.write_to(path, all_array_storage="inline" if form == "inline" else "internal")
    model = models.open(path)
    assert isinstance(model, models.ImageModel)
    np.testing.assert_array_equal(DATA, model.data)


def test_what_is_no_array(tmp_path: Path) -> None:
    """Named for what it is, with what is allowed."""
    path = tmp_path / "x.asdf"
    asdf.AsdfFile(tree(data=u.Unit("Jy"))).write_to(path)
    with pytest.raises(InputError, match=r"data is a (Irreducible)?Unit; allowed is an array"):
        models.open(path)
    asdf.AsdfFile(tree(data={"$ref": "other.asdf#/data"})).write_to(path)
    with pytest.raises(
        InputError, match=r"data refers to 'other.asdf#/data'; .*resolve_references"
    ):
        models.open(path)


def test_blocks_compressed_by_lz4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asdf library unpacks them; without the package lz4 it is said what to install."""
    pytest.importorskip("lz4")
    path = tmp_path / "x.asdf"
    asdf.AsdfFile(tree()).write_to(path, all_array_compression="lz4")
    check(path, tmp_path)
    content = path.read_bytes()
    monkeypatch.setitem(sys.modules, "lz4", None)
    monkeypatch.setitem(sys.modules, "lz4.block", None)
    with pytest.raises(InputError, match=r"blocks are compressed with lz4; .*pip install lz4"):
        models.open(path)
    path.write_bytes(content.replace(b"lz4\0", b"zstd"))
    with pytest.raises(InputError, match=r"compressed with zstd, which no installed package knows"):
        models.open(path)


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25, deadline=None)
def test_whatever_asdf_writes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Views with any steps, padded, compressed, external or in the tree: the same values everywhere."""
    folder = tmp_path_factory.mktemp("asdf")
    values = data.draw(arrays.arrays(np.float32, (4, 5), elements=st.floats(-9, 9, width=32)))
    steps = st.sampled_from([1, 2, -1, -3])
    view = values[:: data.draw(steps), data.draw(st.integers(0, 2)) :: abs(data.draw(steps))]
    view = view.T if data.draw(st.booleans()) else view
    storage = data.draw(st.sampled_from(["internal", "external", "inline"]))
    compression = data.draw(st.sampled_from([None, "zlib", "bzp2"]))
    asdf.AsdfFile(tree(data=view)).write_to(
        folder / "x.asdf",
        all_array_storage=storage,
        all_array_compression=compression if storage == "internal" else None,
        pad_blocks=data.draw(st.booleans()),
    )
    check(folder / "x.asdf", folder, view)
