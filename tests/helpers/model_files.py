"""Small models, files of other software, and when two models are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from stpipe import models

__all__ = ["ENDINGS", "foreign", "same", "small_image", "with_card"]

ENDINGS = [".fits", ".fits.gz", ".asdf"]


def small_image() -> models.ImageModel:
    """An image with arrays, metadata that no schema knows, and a history."""
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
