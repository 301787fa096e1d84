"""Estimated pixels beside the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lossy_slits import FIXED, slits

from stpipe import models
from stpipe.steps.stage2.pixel_replace import PixelReplaceStep

Peer = Callable[..., Path]


# The peer searches for the scale of a profile, and stops within 1e-4 of it.
@pytest.mark.parametrize(("algorithm", "rtol"), [("mingrad", 1e-6), ("fit_profile", 5e-4)])
def test_estimates_of_slits(peer_step: Peer, tmp_path: Path, algorithm: str, rtol: float) -> None:
    """The same estimates in the same pixels."""
    exposure = slits("NRS_FIXEDSLIT", FIXED)
    rng = np.random.default_rng(3)
    for slit in exposure.slits:
        slit.meta.wcsinfo.dispersion_direction = 1
        bad = rng.random(slit.shape) < 0.06
        slit.dq = np.where(bad, np.uint32(1), np.uint32(0))
        for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            if slit.has(name):
                array = np.abs(getattr(slit, name)) + np.float32(0.01)
                slit.set(name, np.where(bad, np.float32(np.nan), array))
    source = exposure.save(tmp_path / "x_photom.fits")
    parameters = {"algorithm": algorithm, "skip": False}
    theirs = peer_step("jwst.pixel_replace:PixelReplaceStep", source, **parameters)
    ours = PixelReplaceStep(**parameters).run(source)

    with models.open(theirs) as expected:
        for one, other in zip(expected.slits, ours.slits, strict=True):
            for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
                if one.has(name):
                    left, right = getattr(one, name), getattr(other, name)
                    np.testing.assert_allclose(left, right, rtol=rtol, err_msg=name)
            np.testing.assert_array_equal(one.dq, other.dq)
            assert (other.dq & (1 << 28)).any()
    assert "COMPLETE" == ours.meta.cal_step.pixel_replace
