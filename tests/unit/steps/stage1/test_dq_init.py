"""The mask reaches pixels and groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.steps.stage1 import dq_init

DNU = dqflags.DO_NOT_USE


def test_mask_reaches_groups_with_do_not_use_only() -> None:
    """Other bits of the mask are for pixels."""
    groupdq = np.full((1, 2, 1, 3), dqflags.JUMP_DET, np.uint8)
    mask = np.array([[0, DNU | dqflags.DEAD, dqflags.HOT]], np.uint32)
    flags = dq_init.flag_groups(groupdq, mask)
    assert [4, 5, 4, 4, 5, 4] == flags.ravel().tolist()
    assert flags.dtype == np.uint8


def test_mask_of_a_user_must_fit(tmp_path: Path) -> None:
    """A mask of the right shape is read as bits; others are refused, as are other files."""
    path = tmp_path / "mask.fits"
    fits.PrimaryHDU(np.array([[1, 2]], np.int16)).writeto(path)
    mask = dq_init.read_mask(str(path), (1, 2))
    assert [[1, 2]] == mask.tolist()
    assert mask.dtype == np.uint32
    with pytest.raises(InputError, match=r"\(1, 2\), the exposure of \(2, 2\)"):
        dq_init.read_mask(str(path), (2, 2))
    with pytest.raises(InputError, match="no readable FITS image"):
        dq_init.read_mask(str(tmp_path / "none.fits"), (1, 2))
