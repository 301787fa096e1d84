"""References cut to the pixels of an exposure."""

from __future__ import annotations

import numpy as np

from stpipe import models
from stpipe.models import dqflags

ROWS, SIZE = 3200, 2048


def test_references_of_the_detector_hold_for_interleaved_frames() -> None:
    """Saturation levels know nothing of reference samples: they come whole."""
    from stpipe.references.opened import _cut

    exposure, reference = models.RampModel(), models.SaturationModel()
    exposure.data = np.zeros((1, 1, ROWS, SIZE), np.float32)
    reference.data = np.zeros((SIZE, SIZE), np.float32)
    cut = _cut(reference, exposure, "x.fits")  # type: ignore[arg-type]
    assert cut.whole
    assert cut.area == (SIZE, SIZE)
    mask = models.MaskModel()
    mask.dq = np.full((ROWS, SIZE), dqflags.HOT, np.uint32)
    assert _cut(mask, exposure, "x.fits").whole  # type: ignore[arg-type]
