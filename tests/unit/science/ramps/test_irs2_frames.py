"""IRS2 frames: where science pixels are."""

from __future__ import annotations

import numpy as np

from stpipe.science.ramps.irs2_frames import Interleaving, is_interleaved

ROWS, SIZE = 3200, 2048


def test_frames_are_told_by_their_shape() -> None:
    """Only interleaved frames are longer than the detector."""
    assert is_interleaved((1, 4, ROWS, SIZE))
    assert not is_interleaved((1, 4, SIZE, SIZE))


def test_science_pixels_fill_the_detector() -> None:
    """Four outputs of 512 pixels, blocks of 16 between four reference pixels, 8 at the ends."""
    layout = Interleaving()
    output = layout.science_of_output
    assert SIZE == np.count_nonzero(layout.science)
    assert not layout.science[:640].any()
    assert [8, 16, 16] == np.diff(np.flatnonzero(np.diff(np.r_[0, output.astype(int)])))[
        :5:2
    ].tolist()
    assert output[:8].all()
    assert not output[8:12].any()
    assert Interleaving(flipped=True).science_rows[-1] == layout.science_rows[0]


def test_frames_of_the_detector_turn_back() -> None:
    """Rows of the science frame are samples along a row of the detector, in either direction."""
    frame = np.arange(12).reshape(3, 4)
    for flipped in (False, True):
        layout = Interleaving(flipped=flipped)
        turned = layout.to_detector(frame)
        np.testing.assert_array_equal(frame, layout.to_science(turned))
        np.testing.assert_array_equal(turned[0], (frame[::-1, -1] if flipped else frame[:, 0]))
