"""Rectangles of rows."""

from __future__ import annotations

import numpy as np

from stpipe import models
from stpipe.engine import chain
from stpipe.engine.rectangle import Rectangle


def test_rectangles_cover_every_row_once() -> None:
    """Bands are whole rows, of nearly equal height."""
    ramp = models.RampModel(np.zeros((2, 3, 101, 64), np.float32))
    places = chain.Chain(ramp, height=7).rectangles()

    assert [*range(101)] == [row for p in places for row in range(p.y0, p.y1)]
    assert {p.y1 - p.y0 for p in places} <= {6, 7}
    assert Rectangle(0, 7, 0, 64).grown(2, (101, 64)) == Rectangle(0, 9, 0, 64)
