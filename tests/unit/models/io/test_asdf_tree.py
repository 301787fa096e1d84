"""ASDF files and trees, of this package and of others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from astropy.io import fits
from model_files import foreign

from stpipe import models


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
