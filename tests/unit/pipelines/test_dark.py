"""calwebb_dark: what it corrects and what it leaves in the ramp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.pipelines.dark import DarkPipeline
from stpipe.pipelines.detector1 import Detector1Pipeline

COMMON = ["group_scale", "dq_init", "saturation", "ipc"]
ORDER = {
    "nrca1": [*COMMON, "superbias", "refpix", "linearity"],
    "mirimage": [
        *COMMON[:2],
        "emicorr",
        *COMMON[2:],
        "firstframe",
        "lastframe",
        "reset",
        "linearity",
        "rscd",
    ],
}


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("detector", sorted(ORDER))
def test_a_dark_is_corrected_up_to_linearity(
    demo_folder: Path, tmp_path: Path, detector: str
) -> None:
    """The steps in their order; the product is a ramp, named after the last step."""
    source = next(demo_folder.glob(f"uncal/*00001_{detector}_uncal.fits"))
    pipeline = DarkPipeline(output_dir=str(tmp_path), save_results=True)

    product = pipeline.run(source)

    assert (
        ORDER[detector] == [record["step"] for record in product.provenance][: len(ORDER[detector])]
    )
    assert product.meta.cal_step.linearity == "COMPLETE"
    assert product.meta.cal_step.dark_sub is None
    (saved,) = tmp_path.iterdir()
    assert saved.name.endswith(("_linearity.fits", "_rscd.fits"))
    with models.open(saved) as again:
        assert "RampModel" == type(again).__name__
        np.testing.assert_array_equal(product.data, again.data)


@pytest.mark.usefixtures("crds")
def test_it_is_the_start_of_the_detector_stage(demo_folder: Path, tmp_path: Path) -> None:
    """What follows in calwebb_detector1, left out, gives the same ramp."""
    source = next(demo_folder.glob("uncal/*00001_nrca1_uncal.fits"))
    rest = {name: {"skip": True} for name in ("dark_current", "jump")}
    whole = Detector1Pipeline(steps=rest, save_calibrated_ramp=True, output_dir=str(tmp_path))
    whole.run(source)
    with models.open(next(tmp_path.glob("*_ramp.fits"))) as ramp:
        dark = DarkPipeline().run(source)
        np.testing.assert_array_equal(ramp.data, dark.data)
        np.testing.assert_array_equal(ramp.groupdq, dark.groupdq)
