"""The thermal frame of the detector."""

from __future__ import annotations

import numpy as np

from stpipe.steps.stage1 import picture_frame


def test_the_thermal_frame_goes() -> None:
    """Of every image the level and the shape of the frame, whatever its height."""
    rng = np.random.default_rng(8)
    y, x = np.indices((2048, 2048)) / 1024 - 1
    frame = (np.maximum(np.abs(x), np.abs(y)) ** 8).astype(np.float32)
    heights = np.array([3.0, -2.0])[:, None, None]
    images = heights * frame + 7 + rng.normal(0, 0.01, (2, 2048, 2048)).astype(np.float32)
    center, edge = picture_frame.regions(np.ones(frame.shape, bool))
    assert not (center & edge).any()
    assert not edge[:4].any()
    found = picture_frame.frame_of(images, frame, center, edge)
    left = images - found
    assert np.abs(left).max() < 0.1
