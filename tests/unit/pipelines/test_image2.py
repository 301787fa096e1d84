"""calwebb_image2: calibrated images, held against what the simulator knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stpipe import models
from stpipe.demo.truth import Truth
from stpipe.models import dqflags
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.steps.stage2.flat_field.step import FlatFieldStep

if TYPE_CHECKING:
    import pytest


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


def test_where_no_reference_applies_it_says_that_nothing_was_done(
    rate: Path, crds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The product is the rate as it was, and says of each step that it was skipped."""
    del crds
    references = {f"override_{name}": "N/A" for name in ("distortion", "flat", "photom", "area")}
    known = Image2Pipeline.all_reference_types()
    given = {n: v for n, v in references.items() if n.removeprefix("override_") in known}
    with caplog.at_level("WARNING", "stpipe"):
        made = Image2Pipeline(steps={"resample": {"skip": True}}, **given).run(rate)

    assert "calwebb_image2 did nothing: every step was skipped" in caplog.text
    assert {"SKIPPED"} == {
        made[0].get(f"meta.cal_step.{name}") for name in ("assign_wcs", "flat_field", "photom")
    }
    caplog.clear()
    Image2Pipeline().run(rate)
    assert "did nothing" not in caplog.text
