"""Calibrated exposures of slits that the telescope was moved along between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import stars_in_slits
from astropy.modeling.models import Identity, Scale, Shift
from gwcs import WCS

from stpipe import models
from stpipe.science.wcs.lrs import world_frame
from stpipe.science.wcs.nirspec import frames

__all__ = ["DITHERS", "HITS", "association", "carried", "exposures", "images", "write"]

DITHERS = (0.0, 0.11, -0.08)  # of each exposure, in heights of the slit
SKY_HEIGHT = 5e-4  # degrees of the height of a slit
HITS = ((9, 20), (15, 31), (17, 44))  # rows and columns of cosmic rays, one in each exposure
HIT = 400.0
NAME = "jw01234-o001_{source_id}_nirspec_f100lp-g140m-{slit_name}"
ABOUT = {
    "observation.program_number": "01234",
    "observation.observation_number": "001",
    "observation.visit_number": "001",
    "observation.visit_group": "02",
    "observation.sequence_id": "1",
    "observation.activity_id": "01",
    "exposure.exposure_time": 200.0,
    "exposure.integration_time": 100.0,
    "exposure.measurement_time": 190.0,
    "exposure.duration": 210.0,
    "exposure.start_time": 60000.0,
    "exposure.end_time": 60000.1,
    "target.type": "FIXED",
    "target.ra": 80.0,
    "target.dec": -5.0,
    "cal_step.photom": "COMPLETE",
    "cal_step.assign_wcs": "COMPLETE",
}


def exposures(*, noise: float = 0.6, hit: float = HIT) -> list[Any]:
    """A star in one slit, sky in another; a cosmic ray in each exposure of the first."""
    return [_exposure(number, noise, hit) for number in range(len(DITHERS))]


def _exposure(number: int, noise: float, hit: float) -> Any:
    exposure = stars_in_slits.slits(noise=noise)
    rng = np.random.default_rng(100 + number)
    for path, value in ABOUT.items():
        exposure.set(f"meta.{path}", value)
    exposure.meta.observation.exposure_number = str(number + 1)
    exposure.meta.filename = f"jw01234001001_02101_{number + 1:05d}_nrs1_cal.fits"
    place = stars_in_slits.PLACE - DITHERS[number]
    for index, slit in enumerate(exposure.slits):
        light = (not index) * stars_in_slits.star(place) + stars_in_slits.SKY
        data = light + noise * rng.normal(size=light.shape)
        if not index:
            data[HITS[number]] += hit
        slit.data = data.astype(np.float32)
        slit.source_id, slit.source_ypos = (1, place) if not index else (12, 0.0)
        slit.meta.wcs = moved(slit.meta.wcs, DITHERS[number])
        slit.meta.bunit_data = slit.meta.bunit_err = "MJy/sr" if index else "MJy"
        slit.meta.photometry.pixelarea_steradians = 2e-13
        slit.meta.photometry.pixelarea_arcsecsq = 0.0085
        slit.set("meta.model_type", "SlitModel")
        slit.xstart, slit.ystart = 1, 1 + 40 * index
        slit.ysize, slit.xsize = slit.data.shape
    return exposure


def moved(wcs: WCS, dither: float) -> WCS:
    """Coordinates of a slit whose middle is `dither` heights to the north."""
    sky = Scale(1e-5) | Shift(80.0)
    north = Scale(SKY_HEIGHT) | Shift(-5.0 + dither * SKY_HEIGHT)
    made = WCS(
        [
            (frames.pixels("detector"), wcs.get_transform("detector", "slit_frame")),
            (frames.slit(), sky & north & Identity(1)),
            (world_frame(), None),
        ]
    )
    made.bounding_box = tuple((-0.5, size - 0.5) for size in (60, 27))
    return made


def carried(wcs: WCS, way: float) -> WCS:
    """The same coordinates after the telescope has moved, by degrees of both coordinates."""
    (first, into), (slit, out), (world, _) = [(s.frame, s.transform) for s in wcs.pipeline]
    made = WCS([(first, into), (slit, out | Shift(way) & Shift(way) & Identity(1)), (world, None)])
    made.bounding_box = tuple((-0.5, size - 0.5) for size in (60, 27))
    return made


def write(folder: Path, made: list[Any] | None = None, name: str = NAME) -> Path:
    """Exposures and the association that lists them."""
    members = [exposure.save(folder / exposure.meta.filename) for exposure in made or exposures()]
    return association(folder, members, name)


def association(folder: Path, members: list[Path], name: str = NAME) -> Path:
    """An association of exposures."""
    listed = [{"expname": path.name, "exptype": "science"} for path in members]
    content: dict[str, Any] = {"asn_type": "spec3", "asn_id": "a3001", "asn_pool": "pool.csv"}
    content |= {"asn_rule": "lab", "program": "01234"}
    content["products"] = [{"name": name, "members": listed}]
    path = folder / "spec3_asn.json"
    path.write_text(json.dumps(content))
    return path


def images(kind: str, detector: str, instrument: str, count: int) -> list[Any]:
    """Integral-field exposures with smooth light, bad pixels and a pixel that is hot in all."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(count):
        image = models.IFUImageModel()
        for path, value in ABOUT.items():
            image.set(f"meta.{path}", value)
        image.meta.exposure.type, image.meta.instrument.name = kind, instrument
        image.meta.instrument.detector = detector
        image.meta.observation.exposure_number = str(number + 1)
        image.meta.filename = f"jw01234001001_02101_{number + 1:05d}_{detector.lower()}_cal.fits"
        data = 5 + rng.normal(0, 0.3, (48, 60)) + np.sin(np.arange(60) / 5)
        data[30, 40] += 60
        data[rng.random(data.shape) < 0.02] = np.nan
        image.data = data.astype(np.float32)
        image.err = np.full(data.shape, 0.3, np.float32)
        image.dq = np.where(np.isnan(data) | (rng.random(data.shape) < 0.01), 1, 0).astype("u4")
        found.append(image)
    return found
