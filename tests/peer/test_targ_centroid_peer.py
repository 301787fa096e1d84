"""Places of sources from their acquisition beside those of the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acquisition import confirmation, exposure, optics

from stpipe import models
from stpipe.steps.stage2.targ_centroid import TargCentroidStep

Peer = Callable[..., Path]
CASES = [
    ("FIXEDSLIT", (326.4, 299.1), (0.4, 0.0), (0.2, -0.1)),
    ("SLITLESS", (38.3, 299.6), (0.0, 0.0), (-0.3, 0.2)),
]


@pytest.mark.parametrize(("slit", "source", "dither", "image_dither"), CASES)
def test_places_are_the_peers(
    peer_step: Peer,
    tmp_path: Path,
    slit: str,
    source: tuple[float, float],
    dither: tuple[float, float],
    image_dither: tuple[float, float],
) -> None:
    """With dithers of both and an offset of the filter, in full frames and subarrays."""
    references = optics(tmp_path)
    image = confirmation(slit, source, image_dither, references).save(tmp_path / "ta_cal.fits")
    rates = exposure(slit, dither, references)
    given: Any = models.SlitModel(np.asarray(rates.data))
    given.update(rates)
    given.meta.wcs = rates.meta.wcs
    path = given.save(tmp_path / "x_srctype.fits")
    overrides = {f"override_{n}": references[n] for n in ("distortion", "filteroffset")}
    options = {"skip": False, "ta_file": str(image), **overrides}

    ours = TargCentroidStep(**options).run(rates)

    needed = {n: v for n, v in options.items() if n != "override_distortion"}
    theirs_file = peer_step(
        "jwst.targ_centroid.targ_centroid_step:TargCentroidStep", path, **needed
    )
    with models.open(theirs_file) as theirs:
        assert theirs.meta.cal_step.targ_centroid == "COMPLETE"
        for name in ("ta_xpos", "ta_ypos", "source_xpos", "source_ypos"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-4)
    np.testing.assert_allclose((ours.ta_xpos, ours.ta_ypos), source, atol=0.02)
