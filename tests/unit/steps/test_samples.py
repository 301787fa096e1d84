"""Steps that treat every sample by itself: mask, bias, scales; and the coupling of neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.arrays import known_or_zero
from stpipe.steps.stage1 import charge_migration, dq_init, gain_scale, group_scale, superbias
from stpipe.steps.stage1.ipc import step

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


def test_unknown_bias_is_not_subtracted() -> None:
    """NaN in the reference leaves counts as they are."""
    clean = known_or_zero(np.array([[3, np.nan]], np.float32))
    data = np.full((1, 2, 1, 2), 10, np.float32)
    assert [7, 10, 7, 10] == superbias.subtract_bias(data, clean).ravel().tolist()


def test_zero_frame_without_data_has_no_bias() -> None:
    """0 means no data and stays 0."""
    frame = np.array([[[10, 0]]], np.float32)
    bias = np.full((1, 2), 3, np.float32)
    assert [7, 0] == superbias.subtract_bias_from_zeroframe(frame, bias).ravel().tolist()


def test_groups_divided_by_a_power_of_two_are_scaled() -> None:
    """Three frames were added and divided by four."""
    data = np.full((1, 1, 1, 1), 30, np.float32)
    assert group_scale.scale_groups(data, 3, 4).item() == 40


def test_variances_scale_with_the_square() -> None:
    """Rates and errors take the factor, variances its square."""
    ones = {n: np.ones(1, np.float32) for n in ("data", "err", "var_poisson", "var_rnoise")}
    scaled = gain_scale.scale_rates(ones, 3.0)
    assert {"data": 3, "err": 3, "var_poisson": 9, "var_rnoise": 9} == {
        name: array.item() for name, array in scaled.items()
    }


def test_kernel_spreads_a_point_as_it_is_written() -> None:
    """A point of 1 becomes the kernel; nothing enters or leaves reference pixels."""
    kernel = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)
    data = np.zeros((1, 1, 5, 5), np.float32)
    data[0, 0, 2, 2] = 1
    none = step.ReferenceBorder(0, 0, 0, 0)
    out = step.deconvolve(data, kernel, none)
    np.testing.assert_array_equal(out[0, 0, 1:4, 1:4], kernel)
    bordered = step.deconvolve(data, kernel, step.ReferenceBorder(2, 0, 0, 0))
    np.testing.assert_array_equal(bordered[0, 0, :2], 0)
    data[0, 0, 1, 2] = 100
    same = step.deconvolve(data, kernel, step.ReferenceBorder(2, 0, 0, 0))
    np.testing.assert_array_equal(same[0, 0, 2:], bordered[0, 0, 2:])


@given(st.integers(0, 2**32 - 1))
def test_identity_kernel_changes_nothing(seed: int) -> None:
    """A kernel with its centre alone, one for each pixel, leaves data as they are."""
    data = np.random.default_rng(seed).normal(0, 1, (2, 2, 6, 7)).astype(np.float32)
    kernel = np.zeros((3, 3, 6, 7), np.float32)
    kernel[1, 1] = 1
    out = step.deconvolve(data, kernel, step.ReferenceBorder(1, 1, 0, 2))
    np.testing.assert_array_equal(out, data)


def test_charge_spills_to_four_neighbours_and_stays() -> None:
    """From the group above the threshold on; groups that are only DO_NOT_USE spill nothing."""
    data = np.zeros((1, 3, 3, 6), np.float32)
    data[0, 1, 1, 1] = data[0, 1, 1, 5] = 100
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[0, 1, 1, 5] = DNU
    flags = charge_migration.flag_charge_loss(data, groupdq, 99)
    lost = dqflags.CHARGELOSS | DNU
    plus = np.zeros((3, 6), np.uint8)
    plus[1, :3] = plus[:, 1] = lost
    assert not flags[0, 0].any()
    np.testing.assert_array_equal(flags[0, 2], plus)
    plus[1, 5] = DNU
    np.testing.assert_array_equal(flags[0, 1], plus)
