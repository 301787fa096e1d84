"""Packed files: the same arrays, in bounded memory, and no bombs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.models.storage import packed as packing


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """An image of 1.2 MB."""
    image = models.ImageModel(np.random.default_rng(1).random((300, 1000), np.float32))
    return image.save(tmp_path / "image.fits.gz")


def test_large_ones_go_to_scratch(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pixels as from memory; the scratch file has no name, and memory stays small."""
    with models.open(packed) as image:
        expected = image.data
    monkeypatch.setattr(packing, "IN_MEMORY", 100_000)
    monkeypatch.setattr(packing, "_CHUNK", 10_000)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    tracemalloc.start()
    with models.open(packed) as image:
        part = image.read("data", np.s_[100:102])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        assert not list((tmp_path / "tmp").iterdir())
        np.testing.assert_array_equal(expected[100:102], part)
        np.testing.assert_array_equal(expected, image.data)
        again = image.save(tmp_path / "again.fits")
    tracemalloc.stop()
    np.testing.assert_array_equal(expected, models.open(again).data)


@pytest.mark.parametrize(
    ("module", "tool"),
    [(gzip, "gunzip"), (bz2, "bunzip2"), (lzma, "unxz")],
    ids=["gz", "bz2", "xz"],
)
def test_bombs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, tool: str
) -> None:
    """A small file that unpacks to more than it could mean is refused early, by its sizes."""
    monkeypatch.setattr(packing, "LARGEST", 10_000_000)
    bomb = tmp_path / "bomb.fits.packed"
    with module.open(bomb, "wb") as stream:
        for _ in range(30):
            stream.write(bytes(1_000_000))
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"unpacks to more than \d+ bytes.*{tool}"):
        models.open(bomb)
    assert time.monotonic() - started < 5


def test_a_full_disk_is_no_damage(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message tells what is missing: room."""
    monkeypatch.setattr(packing, "IN_MEMORY", 100_000)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing.os, "write", full)
    with pytest.raises(InputError, match=r"No space left on device; .*TMPDIR"):
        models.open(packed)
