"""Checksums and compression, on request."""

from __future__ import annotations

from pathlib import Path

import asdf
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.errors import UsageError
from stpipe.models.io import checksum


@pytest.fixture
def image() -> models.ImageModel:
    rng = np.random.default_rng(8)
    model = models.ImageModel(rng.normal(size=(50, 71)).astype(np.float32))
    model.dq = rng.integers(0, 2**32, (50, 71), dtype=np.uint32)
    model.meta.instrument.name = "NIRISS"
    model.set("meta.note", "x" * 3001)
    return model


@hypothesis.given(content=st.lists(st.binary(max_size=50)), total=st.integers(0, 2**32 - 1))
def test_sums_and_their_characters_are_those_of_astropy(content: list[bytes], total: int) -> None:
    """However the bytes are cut into pieces, sum and encoding are what astropy makes of them."""
    unit = fits.ImageHDU()
    whole = b"".join(content)
    filled = np.frombuffer(whole.ljust(-(-len(whole) // 4) * 4, b"\0"), np.uint8)
    assert unit._compute_checksum(filled) == checksum.ones_sum(content)
    assert unit._char_encode(~np.uint32(total)) == checksum._encoded(total)


@pytest.mark.parametrize("ending", [".fits", ".fits.gz"])
def test_checksums_of_fits(image: models.ImageModel, tmp_path: Path, ending: str) -> None:
    """Every extension has sums that astropy verifies, and we; they go with the next saving."""
    path = image.save(tmp_path / f"x{ending}", checksum=True)
    with fits.open(path, checksum=True) as units:
        for unit in units:
            assert {"CHECKSUM", "DATASUM"} <= set(unit.header)
            assert unit.data is None or len(unit.data)
    assert [("", True)] * 4 == [(found.problem, found.present) for found in models.verify(path)]
    again = models.open(path).save(tmp_path / "again.fits")
    assert [False] * 4 == [found.present for found in models.verify(again)]


def test_carried_extensions_keep_valid_sums(tmp_path: Path) -> None:
    """What is not ours is written as it was, its checksum too; with checksum=True it is renewed."""
    primary = fits.PrimaryHDU(np.arange(10, dtype=np.int16))
    other = fits.ImageHDU(np.arange(6.0), name="OTHER")
    fits.HDUList([primary, other]).writeto(tmp_path / "x.fits", checksum=True)
    model = models.DataModel(tmp_path / "x.fits")
    model.meta.instrument.name = "FGS"
    found = models.verify(model.save(tmp_path / "y.fits"))
    assert [("PRIMARY,1", False), ("OTHER,1", True)] == [(f.name, f.present) for f in found[:2]]
    found += models.verify(model.save(tmp_path / "z.fits", checksum=True))
    assert {""} == {each.problem for each in found}


def test_changed_bytes_are_noticed(image: models.ImageModel, tmp_path: Path) -> None:
    """A flipped bit in the data, or in a header, is found where it is."""
    path = image.save(tmp_path / "x.fits", checksum=True)
    good = path.read_bytes()
    at = good.index(b"XTENSION")
    path.write_bytes(good[: at + 6000] + bytes([good[at + 6000] ^ 1]) + good[at + 6001 :])
    assert ["SCI,1"] == [each.name for each in models.verify(path) if each.problem]
    path.write_bytes(good.replace(b"'NIRISS  '", b"'NIRCAM  '"))
    found = [each for each in models.verify(path) if each.problem]
    assert [("PRIMARY,1", "header and data do not add up to CHECKSUM", True)] == found


@pytest.mark.parametrize("compression", ["", "zlib", "bzp2"])
@pytest.mark.parametrize("with_sum", [False, True])
def test_asdf_with_compression_and_sums(
    image: models.ImageModel, tmp_path: Path, compression: str, with_sum: bool
) -> None:
    """The asdf library reads and verifies such files, and we; changed bytes are noticed."""
    mask = np.zeros((500, 500), np.uint32)
    mask[:50, :71] = image.dq
    image.data, image.dq = np.zeros((500, 500), np.float32), mask
    path = image.save(tmp_path / "x.asdf", compression=compression, checksum=with_sum)
    assert (path.stat().st_size < 100_000) == bool(compression)
    with asdf.open(path, validate_checksums=True, lazy_load=False) as tree:
        np.testing.assert_array_equal(image.dq, tree["dq"])
    again = models.open(path)
    np.testing.assert_array_equal(image.dq, again.dq)
    np.testing.assert_array_equal(image.dq[3:5], again.read("dq", np.s_[3:5]))
    assert {("", with_sum)} == {(each.problem, each.present) for each in models.verify(path)}
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert with_sum == any(each.problem for each in models.verify(path))


def test_compression_is_for_asdf(image: models.ImageModel, tmp_path: Path) -> None:
    """FITS files are compressed as a whole; unknown methods are refused by name."""
    with pytest.raises(
        UsageError, match=r"only ASDF files have this compression; give .* ending .fits.gz"
    ):
        image.save(tmp_path / "x.fits", compression="zlib")
    with pytest.raises(UsageError, match='compression is "lz5"; allowed: zlib, bzp2'):
        image.save(tmp_path / "x.asdf", compression="lz5")
    assert [] == list(tmp_path.iterdir())
