"""Steps of many exposures beside those of the peer: the same association, the same pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.demo.observation import plan
from stpipe.demo.optics import distortion_model, reference_point
from stpipe.models import dqflags
from stpipe.steps.imaging_wcs import imaging_wcs, s_region
from stpipe.steps.resample import ResampleStep

Peer = Callable[..., Path]
SIZE = 160


def image(number: int, rng: np.random.Generator) -> Any:
    """A calibrated image, turned and shifted a little, with flags and pixels that are not known."""
    observation = plan("NIRCAM", subarray="SUB160")
    model = models.ImageModel()
    shape = (SIZE, SIZE)
    model.data = rng.normal(5, 1, shape).astype(np.float32)
    for name in ("var_poisson", "var_rnoise", "var_flat"):
        setattr(model, name, rng.uniform(0.5, 1.5, shape).astype(np.float32))
    model.err = np.sqrt(model.var_poisson + model.var_rnoise + model.var_flat)
    dq = np.where(rng.random(shape) < 0.03, dqflags.DO_NOT_USE, 0)
    dq |= np.where(rng.random(shape) < 0.1, dqflags.JUMP_DET, 0)
    dq[:4] |= dqflags.NON_SCIENCE
    model.dq = dq.astype(np.uint32)
    v2, v3 = reference_point(observation.detector, observation.subarray)
    values = {
        "meta.telescope": "JWST",
        "meta.instrument.name": "NIRCAM",
        "meta.instrument.detector": "NRCA1",
        "meta.instrument.channel": "SHORT",
        "meta.instrument.module": "A",
        "meta.instrument.filter": "F200W",
        "meta.instrument.pupil": "CLEAR",
        "meta.exposure.type": "NRC_IMAGE",
        "meta.exposure.exposure_time": 100.0 + number,
        "meta.exposure.measurement_time": 90.0 + number,
        "meta.exposure.duration": 110.0,
        "meta.exposure.start_time": 60_000.0 + number,
        "meta.exposure.end_time": 60_000.001 + number,
        "meta.observation.date": "2023-06-05",
        "meta.observation.time": "06:00:00",
        "meta.observation.program_number": "01234",
        "meta.observation.observation_number": "001",
        "meta.observation.visit_number": "001",
        "meta.observation.visit_group": "02",
        "meta.observation.sequence_id": "1",
        "meta.observation.activity_id": "01",
        "meta.observation.exposure_number": f"{number:05d}",
        "meta.subarray.name": "SUB160",
        "meta.subarray.xstart": observation.subarray.xstart,
        "meta.subarray.ystart": observation.subarray.ystart,
        "meta.subarray.xsize": SIZE,
        "meta.subarray.ysize": SIZE,
        "meta.wcsinfo.v2_ref": v2,
        "meta.wcsinfo.v3_ref": v3,
        "meta.wcsinfo.v3yangle": -0.56,
        "meta.wcsinfo.vparity": -1,
        "meta.wcsinfo.roll_ref": 30.0 + 0.5 * number,
        "meta.wcsinfo.ra_ref": 80.4875 + number * 1e-4,
        "meta.wcsinfo.dec_ref": -69.4975 + number * 6e-5,
        "meta.photometry.pixelarea_steradians": 2.31e-14,
        "meta.photometry.pixelarea_arcsecsq": 0.000983,
        "meta.bunit_data": "MJy/sr",
        "meta.bunit_err": "MJy/sr",
        "meta.cal_step.assign_wcs": "COMPLETE",
        "meta.cal_step.flat_field": "COMPLETE",
        "meta.cal_step.photom": "COMPLETE",
    }
    for path, value in values.items():
        model.set(path, value)
    wcs = imaging_wcs(model.to_flat_dict(), shape, distortion_model(observation.detector), ())
    model.meta.wcs = wcs
    model.meta.wcsinfo.s_region = s_region(wcs)
    return model


@pytest.fixture
def association(tmp_path: Path) -> Path:
    """Three dithered images."""
    rng = np.random.default_rng(11)
    names = [f"d{number}_cal.fits" for number in range(3)]
    for number, name in enumerate(names):
        image(number, rng).save(tmp_path / name)
    members = [{"expname": name, "exptype": "science"} for name in names]
    content = {
        "asn_type": "image3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "01234",
        "products": [{"name": "mosaic", "members": members}],
    }
    path = tmp_path / "asn.json"
    path.write_text(json.dumps(content))
    return path


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
