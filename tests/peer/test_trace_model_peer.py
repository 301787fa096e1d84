"""Models of traces, and pixels estimated from them, beside the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stars_in_slits

from stpipe import models
from stpipe.steps.stage2.adaptive_trace_model import AdaptiveTraceModelStep
from stpipe.steps.stage2.pixel_replace import PixelReplaceStep

Peer = Callable[..., Path]
MODELLER = "jwst.adaptive_trace_model:AdaptiveTraceModelStep"
REPLACER = "jwst.pixel_replace:PixelReplaceStep"
ARRAYS = ("data", "err", "var_poisson", "var_rnoise", "var_flat", "dq", "trace_model")


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (stars_in_slits.slits, {"fit_threshold": 3.0, "slope_limit": 0.03}),
        (stars_in_slits.slits, {"psf_optimal": True}),
        (stars_in_slits.nodded, {"fit_threshold": 3.0, "slope_limit": 0.05}),
    ],
)
def test_traces_of_slits(
    peer_step: Peer, tmp_path: Path, make: Any, parameters: dict[str, Any]
) -> None:
    """The same model in the same pixels to 1e-5; and the same pixels estimated from it."""
    exposure = make(noise=0.3)
    for slit in exposure.slits:
        data = slit.data.copy()
        data[slit.dq > 0] = np.nan
        slit.data = data
    source = exposure.save(tmp_path / "x_cal.fits")
    theirs = peer_step(MODELLER, source, skip=False, **parameters)
    ours = AdaptiveTraceModelStep(skip=False, **parameters).run(source)
    known = same(theirs, ours)
    assert known > 100

    kept = ours.save(tmp_path / "x_adaptive_trace_model.fits")
    given = {"algorithm": "trace_model", "skip": False}
    theirs = peer_step(REPLACER, kept, **given)
    same(theirs, PixelReplaceStep(**given).run(kept))


def same(theirs: Path, ours: Any) -> int:
    """All arrays of all slits are the same; how many pixels are modelled."""
    known = 0
    with models.open(theirs) as expected:
        for one, other in zip(expected.slits, ours.slits, strict=True):
            for name in ARRAYS:
                left, right = getattr(one, name), getattr(other, name)
                np.testing.assert_allclose(left, right, rtol=1e-5, err_msg=f"{one.name} {name}")
            known += int(np.isfinite(other.trace_model).sum())
    return known
