"""Reference files on their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.demo import DEMO
from stpipe.demo.pixels import make_pixels
from stpipe.demo.reference_files import MARGIN, Setup, make_reference, setups

SETUPS = setups(DEMO)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.detector.name)
def test_masks_mean_the_same_in_whatever_bits_they_are_written(
    setup: Setup, tmp_path: Path
) -> None:
    """MIRI's mask numbers its bits as it likes and says so in DQ_DEF; reading it translates."""
    reference = make_reference("mask", setup)
    path = reference.save(tmp_path / "mask.fits")

    with models.open(path) as read:
        np.testing.assert_array_equal(make_pixels(setup.detector, setup.subarray).dq, read.dq)


def test_miri_mask_really_is_in_other_bits(tmp_path: Path) -> None:
    """The test above would otherwise say nothing."""
    (setup,) = (setup for setup in SETUPS if setup.detector.is_miri)
    path = make_reference("mask", setup).save(tmp_path / "mask.fits")

    assert fits.getdata(path, "DQ").max() < 32
    assert make_pixels(setup.detector, setup.subarray).dq.max() > 32


def test_gain_and_readnoise_reach_beyond_the_subarray() -> None:
    """So that a calibration has to cut them; as far as the detector goes."""
    (setup,) = (setup for setup in SETUPS if setup.detector.name == "NIS")
    gain = make_reference("gain", setup)
    subarray = gain.meta.subarray

    expected = (1045 - MARGIN, 1, 80 + 2 * MARGIN, 80 + MARGIN)
    assert expected == (subarray.xstart, subarray.ystart, subarray.xsize, subarray.ysize)
    assert (subarray.ysize, subarray.xsize) == gain.data.shape


def test_darks_hold_single_frames_and_enough_of_them() -> None:
    """The longest exposure of a subarray decides."""
    for setup in SETUPS:
        dark = make_reference("dark", setup)
        frames = [
            observation.frames
            for observation in DEMO
            if observation.detector.name == setup.detector.name
        ]
        assert max(frames) == dark.meta.exposure.ngroups == dark.data.shape[-3]
        assert (1, 0) == (dark.meta.exposure.nframes, dark.meta.exposure.groupgap)


def test_nirspec_subarrays_have_a_gain_factor() -> None:
    (setup,) = (setup for setup in SETUPS if setup.detector.name == "NRS1")
    assert 1.43 == make_reference("gain", setup).meta.exposure.gain_factor
