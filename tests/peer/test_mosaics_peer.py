"""Steps of many exposures beside those of the peer: the same association, the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fields import Exposure, associate

from stpipe import models
from stpipe.steps.resample import ResampleStep

Peer = Callable[..., Path]


@pytest.fixture
def association(tmp_path: Path) -> Path:
    """Three dithered images."""
    places = [Exposure(n, east=0.13 * n, north=0.22 * n) for n in range(3)]
    return associate(tmp_path, places, seed=11)


CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "small drops": {"pixfrac": 0.7, "pixel_scale_ratio": 0.6},
    "time": {"weight_type": "exptime", "rotation": 0.0},
    "gaussian": {"kernel": "gaussian", "pixfrac": 0.8, "pixel_scale": 0.04},
    "turbo": {"kernel": "turbo", "fillval": "0.0"},
    "place": {"crpix": [50.0, 60.0], "crval": [80.4876, -69.4974], "output_shape": [170, 150]},
    "flags": {"propagate_dq": True, "enable_err": False},
}


@pytest.mark.parametrize("case", CASES)
def test_resample(peer_step: Peer, tmp_path: Path, association: Path, case: str) -> None:
    """Kernels, weights, grids: the same shape and coordinates, values to 1e-4."""
    parameters = CASES[case]
    theirs = peer_step("jwst.resample:ResampleStep", association, **parameters)
    ours = ResampleStep(**parameters).run(association).save(tmp_path / "x_i2d.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        assert expected.shape == found.shape
        rows, columns = np.mgrid[0 : found.shape[0] : 20, 0 : found.shape[1] : 20]
        for one, other in zip(
            expected.meta.wcs(columns, rows), found.meta.wcs(columns, rows), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)
        good = expected.wht > 0.2 * np.median(expected.wht)
        assert good.sum() > 15_000
        assert (expected.wht > 0).mean() == pytest.approx((found.wht > 0).mean(), abs=1e-4)
        for name in ("data", "wht", "err", "var_poisson", "var_rnoise", "var_flat"):
            assert expected.has(name) == found.has(name), name
            if expected.has(name):
                one, other = getattr(expected, name)[good], getattr(found, name)[good]
                np.testing.assert_allclose(one, other, rtol=1e-4, err_msg=name)
        np.testing.assert_array_equal(expected.con[:, good], found.con[:, good])
        if parameters.get("propagate_dq"):
            np.testing.assert_array_equal(expected.dq[good], found.dq[good])
        for name in ("resample", "photometry", "wcsinfo", "exposure"):
            headers(expected, found, f"meta.{name}.")
    peer_step("read", ours)


def headers(expected: models.DataModel, found: models.DataModel, group: str) -> None:
    """The same keywords, as far as both have them."""
    theirs, ours = expected.to_flat_dict(), found.to_flat_dict()
    for name in (theirs.keys() | ours.keys()) & found.schema.metadata.keys():
        if name.startswith(group) and not name.endswith("s_region"):
            if isinstance(theirs.get(name), float):
                assert pytest.approx(theirs[name], rel=5e-5) == ours.get(name), name
            else:
                assert theirs.get(name) == ours.get(name), name
