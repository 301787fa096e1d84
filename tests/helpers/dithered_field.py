"""The field that the demo sees from four places, calibrated up to single images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.demo.observation import DITHERS
from stpipe.demo.project import write_demo
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.image2 import Image2Pipeline

__all__ = ["changed", "known_stars", "write_field"]


def write_field(folder: Path) -> None:
    """The demo's folder of the field, with calibrated images in cal/."""
    list(write_demo(folder, DITHERS))
    (folder / "cal").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder / "crds"))
        for source in folder.glob("uncal/*.fits"):
            rate, _ = Detector1Pipeline.call(str(source))
            name = source.name.replace("_uncal", "_cal")
            Image2Pipeline.call(rate).image.save(folder / "cal" / name)


def changed(field: Path, folder: Path, change: Callable[[int, Any], None]) -> Path:
    """The association, with exposures that were tampered with."""
    paths = sorted(field.glob("cal/*_cal.fits"))
    for number, path in enumerate(paths):
        with models.open(path) as image:
            change(number, image)
            image.save(folder / path.name)
    content = json.loads(next(field.glob("asn/*.json")).read_text())
    members = [{"expname": path.name, "exptype": "science"} for path in paths]
    content["products"][0]["members"] = members
    target = folder / "asn.json"
    target.write_text(json.dumps(content))
    return target


def known_stars(field: Path) -> Any:
    """The table of true stars."""
    with fits.open(next(field.glob("truth/*_stars.fits"))) as file:
        return np.array(file["STARS"].data)
