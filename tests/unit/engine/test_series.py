"""Arrays in which the samples of a pixel lie together are the same arrays."""

from __future__ import annotations

import errno
import os
from typing import Any

import numpy as np
import pytest

from stpipe.engine.series import LANES, Series, SeriesStore
from stpipe.errors import InputError

SHAPE = (7, 3, 9, 11)
SAMPLES = np.random.default_rng(1).random(SHAPE).astype(np.float32)


def stored(tile_bytes: int = 0) -> Series:
    """The samples, filled in bands of rows of some integrations."""
    store = SeriesStore(SHAPE, tile_bytes)
    store.make("data", SHAPE, SAMPLES.dtype)
    for first, end in ((0, 3), (3, 7)):
        for y0, y1 in ((0, 4), (4, 9)):
            at = (slice(first, end), ..., slice(y0, y1), slice(0, SHAPE[3]))
            store.fill("data", at, SAMPLES[first:end, :, y0:y1])
    array = store.finished()["data"]
    assert isinstance(array, Series)
    return array


@pytest.mark.parametrize(
    "key", [..., 2, np.s_[-1, 1], np.s_[..., 1:3, 4:6], np.s_[1:4, :, 3:5, 2], np.s_[3, ..., 2, 5]]
)
def test_any_part_can_be_read(key: Any) -> None:
    """As of an array in memory."""
    np.testing.assert_array_equal(SAMPLES[key], stored().section(key))


@pytest.mark.parametrize(("tile_bytes", "width"), [(0, LANES), (10**6, 99)])
def test_pixels_come_with_all_their_samples(tile_bytes: int, width: int) -> None:
    """Once each, in order; a tile is as wide as it may be."""
    found = [(pixels, tile.copy()) for pixels, tile in stored(tile_bytes).tiles()]

    assert slice(0, width) == found[0][0]
    np.testing.assert_array_equal(
        SAMPLES.reshape(7, 3, 99), np.concatenate([tile for _, tile in found], axis=-1)
    )


def test_files_get_the_samples_in_order() -> None:
    """Whatever order the scratch file has."""
    assert SAMPLES.tobytes() == b"".join(bytes(piece) for piece in stored().pieces())


def test_a_full_disk_is_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is mapped to a file cannot say so."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"no room for 0 MB of scratch files.*set TMPDIR"):
        stored()
