"""Dithered images of a small field of stars, with all that steps of many exposures must cope with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stpipe import models
from stpipe.demo.observation import plan
from stpipe.demo.optics import distortion_model, reference_point
from stpipe.models import dqflags
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.wcs.imaging import fits_keywords, imaging_wcs, s_region

SIZE = 160
CENTRE = (80.4875, -69.4975)
SIGMA = 1.1  # of a star, pixels


@dataclass(frozen=True)
class Exposure:
    """Where an exposure looks, how wrong its header is about that (arcsec), and its sky (MJy/sr)."""

    number: int
    east: float = 0.0
    north: float = 0.0
    off_east: float = 0.0
    off_north: float = 0.0
    sky: float = 5.0
    hits: int = 0
    stars: int = 0


def keywords(exposure: Exposure, east: float, north: float) -> dict[str, Any]:
    """The header of an exposure that looks there."""
    observation = plan("NIRCAM", subarray="SUB160")
    v2, v3 = reference_point(observation.detector, observation.subarray)
    number = exposure.number
    return {
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
        "meta.exposure.mid_time": 60_000.0005 + number,
        "meta.exposure.end_time": 60_000.001 + number,
        "meta.observation.date": f"2023-06-{5 + number:02d}",
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
        "meta.wcsinfo.ra_ref": CENTRE[0] + east / 3600 / float(np.cos(np.deg2rad(CENTRE[1]))),
        "meta.wcsinfo.dec_ref": CENTRE[1] + north / 3600,
        "meta.photometry.pixelarea_steradians": 2.31e-14,
        "meta.photometry.pixelarea_arcsecsq": 0.000983,
        "meta.bunit_data": "MJy/sr",
        "meta.bunit_err": "MJy/sr",
        "meta.cal_step.assign_wcs": "COMPLETE",
        "meta.cal_step.flat_field": "COMPLETE",
        "meta.cal_step.photom": "COMPLETE",
    }


def wcs_of(meta: dict[str, Any]) -> Any:
    """The gwcs of a header."""
    detector = plan("NIRCAM", subarray="SUB160").detector
    return imaging_wcs(meta, (SIZE, SIZE), distortion_model(detector), ())


def image(exposure: Exposure, rng: np.random.Generator) -> Any:
    """A calibrated image with flags and pixels that are not known."""
    model = models.ImageModel()
    shape = (SIZE, SIZE)
    model.data = (exposure.sky + rng.normal(0, 1, shape)).astype(np.float32)
    for name in ("var_poisson", "var_rnoise", "var_flat"):
        setattr(model, name, rng.uniform(0.2, 0.5, shape).astype(np.float32))
    model.err = np.sqrt(model.var_poisson + model.var_rnoise + model.var_flat)
    dq = np.where(rng.random(shape) < 0.03, dqflags.DO_NOT_USE, 0)
    dq |= np.where(rng.random(shape) < 0.1, dqflags.JUMP_DET, 0)
    dq[:4] |= dqflags.NON_SCIENCE
    model.dq = dq.astype(np.uint32)
    believed = keywords(exposure, exposure.east, exposure.north)
    for path, value in believed.items():
        model.set(path, value)
    model.meta.wcs = wcs_of(believed)
    model.meta.wcsinfo.s_region = s_region(model.meta.wcs)
    accuracy = {"max_pix_error": 0.01, "max_inv_pix_error": 0.01, "npoints": 12}
    header = fits_keywords(model.meta.wcs, believed, degree=None, inv_degree=None, **accuracy)
    for name, value in header.items():
        if f"meta.wcsinfo.{name}" in model.schema.metadata:
            model.set(f"meta.wcsinfo.{name}", value)
    true = keywords(
        exposure, exposure.east + exposure.off_east, exposure.north + exposure.off_north
    )
    _shine(model, wcs_of(true), exposure.stars)
    rows, columns = rng.integers(8, SIZE - 8, (2, exposure.hits))
    struck = model.data.copy()
    struck[rows, columns] += rng.uniform(5, 200, exposure.hits).astype(np.float32)
    model.data = struck
    assign(model, values_of(model), model.dq)
    return model


def _shine(model: Any, wcs: Any, count: int) -> None:
    """Add Gaussian stars, the same ones for all exposures."""
    rng = np.random.default_rng(99)
    side = int(np.ceil(np.sqrt(count)))
    grid = (np.arange(side) - (side - 1) / 2) * (6.0 / max(side, 1))
    east, north = (axis.ravel()[:count] for axis in np.meshgrid(grid, grid))
    east, north = east + rng.uniform(-0.1, 0.1, count), north + rng.uniform(-0.1, 0.1, count)
    peaks = rng.uniform(60, 600, count)
    dec = CENTRE[1] + north / 3600
    ra = CENTRE[0] + east / 3600 / np.cos(np.deg2rad(CENTRE[1]))
    rows, columns = np.indices((SIZE, SIZE))
    data = np.array(model.data, dtype=np.float64)
    for x, y, peak in zip(*wcs.invert(ra, dec, with_bounding_box=False), peaks, strict=True):
        data += peak * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / SIGMA**2)
    model.data = data.astype(np.float32)


def associate(
    folder: Path, exposures: Sequence[Exposure], seed: int, **more: Sequence[str]
) -> Path:
    """Write images and their association; `more` are further keys of members, one value each."""
    rng = np.random.default_rng(seed)
    members = []
    for place, exposure in enumerate(exposures):
        name = f"d{exposure.number}{'abcdefgh'[place]}_cal.fits"
        image(exposure, rng).save(folder / name)
        extra = {key: values[place] for key, values in more.items()}
        members.append({"expname": name, "exptype": "science", **extra})
    content = {
        "asn_type": "image3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "01234",
        "products": [{"name": "mosaic", "members": members}],
    }
    path = folder / "asn.json"
    path.write_text(json.dumps(content))
    return path
