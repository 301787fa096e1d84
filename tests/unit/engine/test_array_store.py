"""Arrays that lie on disk for a while."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stpipe.engine.array_store import IN_MEMORY_BYTES, ArrayStore

if TYPE_CHECKING:
    import pytest


def test_scratch_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind, however a process ends; the pixels are there as long as wanted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shape, rng = (3, IN_MEMORY_BYTES // 4000, 1000), np.random.default_rng(1)
    values = rng.random(shape, np.float32)
    store = ArrayStore()
    store.make("data", shape, values.dtype)
    for columns in (slice(0, 300), slice(300, 1000)):
        store.fill("data", (..., slice(0, shape[1]), columns), values[..., columns])
    stored = store.finished()["data"]
    del store
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(values, stored.read())
    np.testing.assert_array_equal(values[1, 5:9], stored.section(np.s_[1, 5:9]))
    with ThreadPoolExecutor(4) as pool:
        for whole in pool.map(lambda _: stored.read(), range(4)):
            np.testing.assert_array_equal(values, whole)
