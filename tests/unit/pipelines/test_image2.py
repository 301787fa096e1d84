"""calwebb_image2: calibrated images, held against what the simulator knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stpipe import models
from stpipe.demo.truth import Truth
from stpipe.models import dqflags
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.steps.stage2.flat_field import FlatFieldStep


def test_images_show_the_light(rate: Path, demo_folder: Path) -> None:
    """Surface brightness is what the simulator put in, unbiased, errors right."""
    truth = Truth.load(demo_folder / "truth" / rate.name.replace("_rate", "_truth"))
    image = Image2Pipeline.call(str(rate)).image
    flat = FlatFieldStep()
    flat.run(rate)
    with models.open(flat.selected["flat"].path) as reference:
        wide, (rows, columns) = reference.data, image.shape
        y = image.meta.subarray.ystart - reference.meta.subarray.ystart
        x = image.meta.subarray.xstart - reference.meta.subarray.xstart
        response = wide[y : y + rows, x : x + columns]
    light = truth.rate / response * image.meta.photometry.conversion_megajanskys
    bad = dqflags.DO_NOT_USE | dqflags.REFERENCE_PIXEL
    good = np.isfinite(image.data) & ((image.dq | truth.dq) & bad == 0)
    pull = ((image.data - light) / image.err)[good]
    pull = pull[np.abs(pull) < 5]

    assert "MJy/sr" == image.meta.bunit_data
    assert good.sum() > 0.8 * good.size
    assert abs(pull.mean()) < 0.1
    assert abs(pull.std() - 1) < 0.1
    unknown = image.dq & dqflags.NO_FLAT_FIELD > 0
    assert unknown.any()
    assert np.isnan(image.data[unknown]).all()
