"""calwebb_detector1: steps that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stpipe import models
from stpipe.pipelines.detector1 import Detector1Pipeline


@pytest.fixture
def nircam(demo_folder: Path) -> Path:
    return next(demo_folder.glob("uncal/*00001_nrca1_uncal.fits"))


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("step", "status"), [("dark_current", "dark_sub"), ("saturation", "saturation")]
)
def test_a_step_left_out_by_parameter_says_so(nircam: Path, step: str, status: str) -> None:
    """The keyword and the history, with who asked for it."""
    rate, _ = Detector1Pipeline(steps={step: {"skip": True}}).run(nircam)
    assert "SKIPPED" == rate.get(f"meta.cal_step.{status}")
    (record,) = (r for r in rate.provenance if r["step"] == step)
    assert ("SKIPPED", "keyword") == (record["status"], record["source"])


@pytest.mark.usefixtures("crds")
def test_without_the_ramp_fit_the_product_is_the_ramp(nircam: Path, tmp_path: Path) -> None:
    """Named after the last step that ran, as it is in a project."""
    pipeline = Detector1Pipeline(steps={"ramp_fit": {"skip": True}}, output_dir=str(tmp_path))
    ramp = pipeline.run(nircam)
    pipeline.save(ramp)
    (product,) = tmp_path.iterdir()
    assert product.name.endswith("_nrca1_jump.fits")
    with models.open(product) as saved:
        assert "SKIPPED" == saved.meta.cal_step.ramp_fit
        assert isinstance(saved, models.RampModel)
