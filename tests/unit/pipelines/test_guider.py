"""calwebb_guider: raw exposures become rates, with masks and references of small subarrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import ReferenceMissing
from stpipe.pipelines.guider import GuiderPipeline
from stpipe.steps.stage1 import guider_cds
from stpipe.steps.stage1.dq_init import DQInitStep

SIZE = (32, 40)


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    """A raw exposure as it comes from the ground system: of the model Level1bModel."""
    raw = models.Level1bModel()
    raw.data = np.random.default_rng(1).poisson(200, (3, 2, *SIZE)).astype(np.uint16)
    raw.meta.exposure.type, raw.meta.exposure.group_time = "FGS_TRACK", 0.25
    raw.meta.instrument.name, raw.meta.instrument.detector = "FGS", "GUIDER1"
    raw.meta.subarray.xstart = raw.meta.subarray.ystart = 101
    return raw.save(tmp_path / "jw00001_gs-track_uncal.fits")


def reference(folder: Path, name: str, cls: Any, value: float) -> str:
    """An override of a reference of the whole detector."""
    model = cls()
    if name == "mask":
        model.dq = np.full((2048, 2048), int(value), np.uint32)
    else:
        model.data = np.full((2048, 2048), value, np.float32)
    model.meta.subarray.xstart = model.meta.subarray.ystart = 1
    model.meta.reftype = name
    return str(model.save(folder / f"{name}.fits"))


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Overrides of all references."""
    kinds = {"mask": (models.MaskModel, 4), "gain": (models.GainModel, 2)}
    kinds |= {"readnoise": (models.ReadnoiseModel, 10), "flat": (models.FlatModel, 0.5)}
    return {f"override_{n}": reference(tmp_path, n, *kind) for n, kind in kinds.items()}


def test_raw_exposures_of_the_guider_become_rates(exposure: Path, options: dict[str, Any]) -> None:
    """They have flags of pixels only; differences over the group time, over the flat."""
    result = GuiderPipeline(**options).run(exposure)
    with models.open(exposure) as raw:
        data = raw.data.astype(np.float64)
    assert isinstance(result, models.GuiderCalModel)
    np.testing.assert_allclose(result.data, (data[:, 1] - data[:, 0]) / 0.25 / 0.5, rtol=1e-6)
    assert (result.dq == 4).all()
    assert "DN/s" == result.meta.bunit_data
    done = result.meta.cal_step
    assert ("COMPLETE",) * 3 == (done.dq_init, done.guider_cds, done.flat_field)


def test_steps_that_are_left_out_ask_for_nothing(
    exposure: Path, options: dict[str, Any], tmp_path: Path
) -> None:
    """Rates pass through steps for raw data, and lack what only those need."""
    rates = GuiderPipeline(**options).run(exposure)
    rates.meta.exposure.group_time = None
    path = rates.save(tmp_path / "jw00001_gs-track_cal.fits")
    left_out = {"dq_init": {"skip": True}, "guider_cds": {"skip": True}}
    again = GuiderPipeline(steps=left_out, **options).run(path)
    np.testing.assert_allclose(again.data, rates.data / 0.5, rtol=1e-6)


def test_masks_of_users_count_for_the_guider_too(
    exposure: Path, options: dict[str, Any], tmp_path: Path
) -> None:
    """Added to the mask, in the shape of the subarray."""
    from astropy.io import fits

    fits.writeto(tmp_path / "own.fits", np.full(SIZE, 2, np.int32))
    step = DQInitStep(
        user_supplied_dq=str(tmp_path / "own.fits"), override_mask=options["override_mask"]
    )
    assert (step.run(exposure).dq == 6).all()


def test_references_of_the_smallest_subarrays_are_images(exposure: Path, tmp_path: Path) -> None:
    """Fine guiding reads 8 x 8 pixels, as few as a kernel has."""
    with models.open(exposure) as raw:
        tiny = models.GuiderRawModel(raw)
    tiny.data = np.array(tiny.data[..., :8, :8])
    mask = models.MaskModel()
    mask.dq = np.full((8, 8), 2, np.uint32)
    mask.meta.subarray.xstart = mask.meta.subarray.ystart = 101
    mask.meta.reftype = "mask"
    path = mask.save(tmp_path / "small.fits")
    assert (DQInitStep(override_mask=str(path)).run(tiny).dq == 2).all()


@pytest.mark.parametrize("kind", ["FGS_ID-STACK", "FGS_ACQ1"])
def test_strips_without_a_place_take_means(
    exposure: Path, options: dict[str, Any], kind: str
) -> None:
    """Of stacked images; of others a reference that does not cover them is refused."""
    with models.open(exposure) as raw:
        far = models.GuiderRawModel(raw)
    far.meta.exposure.type = kind
    far.meta.subarray.xstart = 2040
    step = guider_cds.GuiderCdsStep(
        override_gain=options["override_gain"], override_readnoise=options["override_readnoise"]
    )
    if kind == "FGS_ACQ1":
        with pytest.raises(ReferenceMissing):
            step.run(far)
        return
    assert np.isfinite(step.run(far).err).all()
