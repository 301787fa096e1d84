"""Flicker noise: stripes go, sources stay, whatever measures the background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError, Skip
from stpipe.models import dqflags
from stpipe.steps.stage1.clean_flicker_noise import choice, nsclean, soss_traces
from stpipe.steps.stage1.clean_flicker_noise import step as clean_flicker_noise
from stpipe.steps.stage1.clean_flicker_noise.step import CleanFlickerNoiseStep, FlickerRules
from stpipe.steps.stage1.picture_frame import PictureFrameStep


def rules(**changes: Any) -> FlickerRules:
    """Medians along rows, with the median as background."""
    values: dict[str, Any] = {
        "axis": 1,
        "fit_by_channel": False,
        "background_method": "median",
        "background_box_size": None,
    }
    return FlickerRules(**values | {"n_sigma": 2.0, "flat": None, "fourier": None} | changes)


def striped(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Any, Any]:
    """A scene of a level and a source, and the same with stripes along rows."""
    scene = np.full(shape, 5.0)
    scene[10:20, 10:30] += 400
    return scene, (scene + rng.normal(0, 0.5, (shape[0], 1)) + rng.normal(0, 0.5, shape))


def unevenness(image: Any) -> float:
    """Spread of the medians of rows: 0.5 before, and from pixel noise alone 0.06."""
    return float(np.std(np.median(image, axis=1)))


@pytest.mark.parametrize("method", ["median", "model", "None"])
def test_stripes_go_and_sources_stay(method: str) -> None:
    """Rows come out level; without background their level is lost, too."""
    rng = np.random.default_rng(1)
    scene, image = striped(rng, (64, 96))
    mask = scene < 100
    assert unevenness(image - scene) > 0.4
    found = clean_flicker_noise.clean_image(image, mask.copy(), rules(background_method=method))
    assert found is not None
    expected = scene - (5 if method == "None" else 0)
    left = found[0] - expected
    assert abs(left.mean()) < 0.2
    assert unevenness(left) < 0.1


def test_a_flat_field_is_taken_out_for_a_while() -> None:
    """Its structure is no stripe."""
    rng = np.random.default_rng(2)
    flat = rng.normal(1, 0.2, (64, 96)).astype(np.float32)
    image = (100 + rng.normal(0, 0.5, (64, 1)) + rng.normal(0, 0.5, flat.shape)) * flat
    found = clean_flicker_noise.clean_image(image, np.ones(flat.shape, bool), rules(flat=flat))
    assert found is not None
    assert unevenness(image / flat) > 0.4
    assert unevenness(found[0] / flat) < 0.1


def test_holes_in_flat_fields_are_filled() -> None:
    """0 and NaN take the level around them."""
    flat = np.ones((64, 64), np.float32)
    flat[3, 4], flat[5, 6] = 0, np.nan
    np.testing.assert_allclose(clean_flicker_noise.filled_flat(flat), 1, rtol=1e-5)


def test_groups_add_up_to_clean_ramps() -> None:
    """Each difference is cleaned; jumps and unusable groups do not count; NaN stays where it is."""
    rng = np.random.default_rng(3)
    steps = np.full((4, 64, 96), 7.0)
    stripes = rng.normal(0, 0.5, (4, 64, 1)) + rng.normal(0, 0.5, (4, 64, 96))
    data = (steps + stripes).cumsum(axis=0).astype(np.float32)
    data[2:, 8, :70] += 1e4
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[2, 8, :70] = dqflags.JUMP_DET
    data[1, 3, 3] = np.nan
    mask = np.ones(data.shape[1:], bool)
    cleaned, levels = clean_flicker_noise.clean_ramp(data, groupdq, mask, rules())
    np.testing.assert_array_equal(data[0], cleaned[0])
    rise = np.diff(cleaned, axis=0)
    assert max(unevenness(plane[10:]) for plane in rise) < 0.1
    assert rise[1, 8, :70].mean() == pytest.approx(1e4 + rise[1, 8, 70:].mean(), abs=1)
    assert np.isnan(cleaned[1, 3, 3])
    assert levels[1].mean() == pytest.approx(7, abs=0.3)


def test_a_group_without_usable_pixels_stays() -> None:
    """Nothing is known about it."""
    data = np.cumsum(np.ones((3, 8, 8), np.float32), axis=0)
    groupdq = np.zeros(data.shape, np.uint8)
    groupdq[1] = dqflags.DO_NOT_USE
    cleaned, _ = clean_flicker_noise.clean_ramp(data, groupdq, np.ones((8, 8), bool), rules())
    np.testing.assert_allclose(data, cleaned)


def test_medians_of_integrations_follow_their_brightness() -> None:
    """The scene of each integration is the median, as bright as its rates."""
    data = np.array([1.0, 2.0, 3.0])[:, None, None, None] * np.ones((3, 2, 4, 4))
    scenes = clean_flicker_noise.scaled_medians(data, data[:, 0])
    np.testing.assert_allclose(scenes, data)
    with pytest.raises(Skip, match="brightness"):
        clean_flicker_noise.scaled_medians(data, np.full((3, 4, 4), np.nan))


@pytest.mark.parametrize("of_frame", [True, False])
def test_noise_is_found_in_gaps(of_frame: bool) -> None:
    """Slow noise along rows is interpolated over what is masked."""
    rng = np.random.default_rng(5)
    shape = (256, 2048) if of_frame else (24, 256)
    y, x = np.indices(shape)
    time = x / shape[1] * 3 if of_frame else (y * (shape[1] + 12) + x) / 600  # 12 for a new row
    slow = np.sin(2 * np.pi * time)
    image = (slow + rng.normal(0, 0.01, shape)).astype(np.float32)
    mask = rng.random(shape) < 0.8
    mask[:, 60:90] = False
    find = nsclean.noise_of_frame if of_frame else nsclean.noise_of_subarray
    noise = find(image, mask)
    assert noise is not None
    inside = np.s_[20:-20, 5:-5] if of_frame else np.s_[4:-4, 5:-5]
    assert np.std(noise[inside] - slow[inside]) < (0.02 if of_frame else 0.15) * np.std(slow)


def test_without_good_pixels_there_is_no_noise_of_subarrays() -> None:
    """Nothing is fitted to nothing."""
    assert nsclean.noise_of_subarray(np.ones((8, 8), "f4"), np.zeros((8, 8), bool)) is None


LIMITS = choice.LIMITS["NIS_IMAGE"]
DECISIONS = [
    ((0.01, 0.2, 0, 9, 0), ("median", True)),
    ((0.2, 0.0, 2e-5, 9, 1), ("model", False)),
    ((0.2, 0.2, 2e-5, 9, 1), ("median", False)),
    ((0.2, 0.2, 2e-4, 9, 1), ("model", False)),
    ((0.01, 0.01, 2e-5, 2, 0), ("model", False)),
    ((0.01, 0.01, 2e-5, 9, 0.03), ("median", True)),
    ((0.01, 0.0, 2e-4, 9, 0.03), ("model", False)),
    ((0.01, 0.01, 0, 9, 0), ("median", False)),
]


@pytest.mark.parametrize(("looks", "expected"), DECISIONS)
def test_decisions(looks: tuple[float, ...], expected: tuple[str, bool]) -> None:
    """Every branch: share of sources, steps between outputs, slopes, noise of a channel."""
    assert expected == choice.decide(choice.Looks(*looks), LIMITS)


def rate_file(folder: Path, kind: str, instrument: str, shape: tuple[int, int]) -> Path:
    """A file of rates with stripes."""
    rng = np.random.default_rng(7)
    image = models.ImageModel(striped(rng, shape)[1].astype(np.float32))
    image.meta.exposure.type, image.meta.instrument.name = kind, instrument
    image.meta.instrument.detector = {"NIRSPEC": "NRS1", "MIRI": "MIRIMAGE"}.get(
        instrument, "NRCA1"
    )
    image.meta.subarray.name, image.meta.subarray.slowaxis = "SUB320", 2
    return image.save(folder / "x_rate.fits")


def test_rates_are_cleaned_from_the_command_line(run: Any, tmp_path: Path) -> None:
    """With a mask of the user, and all that can be saved."""
    path = rate_file(tmp_path, "NRC_IMAGE", "NIRCAM", (64, 96))
    mask = np.ones((64, 96), np.float32)
    mask[10:20, 10:30] = 0
    models.ImageModel(mask).save(tmp_path / "mask.fits")
    words = ["--user_mask=mask.fits", "--save_mask", "--save_background", "--save_noise"]
    run("strun", "clean_flicker_noise", path.name, *words, cwd=tmp_path)

    with models.open(tmp_path / "x_clean_flicker_noise.fits") as product:
        assert "COMPLETE" == product.meta.cal_step.clean_flicker_noise
        assert unevenness(product.data[25:]) < 0.1
        cleaned = np.array(product.data)
    with models.open(path) as rate, models.open(tmp_path / "x_flicker_noise.fits") as noise:
        np.testing.assert_allclose(cleaned - rate.data, noise.data, atol=1e-5)
    with models.open(tmp_path / "x_mask.fits") as saved:
        np.testing.assert_array_equal(mask, saved.data)
    assert (tmp_path / "x_flicker_bkg.fits").is_file()


@pytest.mark.parametrize(
    ("kind", "instrument", "options", "reason"),
    [
        ("MIR_LRS-FIXEDSLIT", "MIRI", {}, "no correction"),
        ("NRC_IMAGE", "NIRCAM", {"fit_method": "fft"}, "fft is not for"),
        ("NRC_IMAGE", "NIRCAM", {"background_method": "median_image"}, "several integrations"),
        ("NRC_TSIMAGE", "NIRCAM", {"background_method": "median_image"}, "time series"),
    ],
)
def test_what_cannot_be_cleaned_is_left_out(
    tmp_path: Path, kind: str, instrument: str, options: dict[str, Any], reason: str
) -> None:
    """The product says why."""
    result = CleanFlickerNoiseStep(**options).run(rate_file(tmp_path, kind, instrument, (32, 32)))
    assert "SKIPPED" == result.meta.cal_step.clean_flicker_noise
    assert reason in result.provenance[-1]["reason"]


@pytest.mark.parametrize("step", [CleanFlickerNoiseStep, PictureFrameStep])
def test_slices_are_not_background(tmp_path: Path, step: Any) -> None:
    """As assign_wcs and msa_flagging have told: slices, shutters that failed open, and fixed slits."""
    image = models.IFUImageModel()
    image.data = np.random.default_rng(3).normal(1, 0.1, (2048, 2048)).astype(np.float32)
    dq, regions = np.zeros((2048, 2048), np.uint32), np.zeros((2048, 2048), np.int32)
    regions[100:110, 300:400] = 7
    dq[1500, 20:30] = dqflags.MSA_FAILED_OPEN
    image.dq, image.regions = dq, regions
    values = {
        "meta.instrument.name": "NIRSPEC",
        "meta.instrument.detector": "NRS1",
        "meta.exposure.type": "NRS_IFU",
        "meta.subarray.name": "FULL",
        "meta.subarray.slowaxis": 1,
        "meta.cal_step.assign_wcs": "COMPLETE",
        "meta.cal_step.msa_flagging": "COMPLETE",
    }
    for name, value in values.items():
        image.set(name, value)
    options: dict[str, Any] = {"mask_science_regions": True, "n_sigma": 0.0, "save_mask": True}
    if step is PictureFrameStep:
        frame = models.PictureFrameModel(np.random.default_rng(4).normal(size=(2048, 2048)))
        options["override_pictureframe"] = str(frame.save(tmp_path / "frame.fits"))
    corrector = step(**options)
    corrector.run(image.save(tmp_path / "x_rate.fits"))

    mask = corrector.side_products["mask"].data
    seen = (regions > 0) | (dq > 0)
    seen[922:1116] = True
    np.testing.assert_array_equal(mask == 0, seen)
    image.regions = None
    with pytest.raises(InputError, match=r"there is no regions; run assign_wcs"):
        corrector.run(image.save(tmp_path / "y_rate.fits"))


@pytest.fixture
def traces_file(tmp_path: Path) -> Path:
    """One order that falls by a row in ten columns, in row 100 at the pivot."""
    x = np.arange(2048.0)
    meta = {"pwcpos_cmd": 245.76, "pwcpos_bounds": [245.5, 246.0], "subarray_ymin": 1792}
    meta |= {"wavemap_wlmin": 0.5, "wavemap_wlmax": 3.0, "wavemap_nwl": 2000}
    trace = {"spectral_order": 1, "trace": np.stack([x, 200 - x / 10], axis=1)}
    trace |= {"pivot_x": 1000.0, "pivot_y": 100.0}
    model = {"coefficients": [3.0, -2.5, 0.0], "scale_extents": [[0, -0.25], [2048, 0.25]]}
    content = {"meta": meta, "traces": [trace], "wavecal_models": [model]}
    asdf.AsdfFile(content).write_to(tmp_path / "soss.asdf")
    return tmp_path / "soss.asdf"


@pytest.mark.parametrize(
    ("subarray", "turned", "row"),
    [("SUBSTRIP256", 0.0, 0.0), ("SUBSTRIP256", 0.2, 500 * 0.2 * np.pi / 180), ("FULL", 0.0, 1792)],
)
def test_traces_turn_with_the_wheel(
    traces_file: Path, subarray: str, turned: float, row: float
) -> None:
    """By the angle around the pivot; in full frames at the top."""
    (trace,) = soss_traces.traces_of(traces_file, 245.76 + turned, subarray)
    assert trace.rows_at(np.array([1500.0])) == pytest.approx(50 + row, abs=0.1)
    mask = soss_traces.mask_of_traces([trace], (2048, 2048))
    rows = np.flatnonzero(mask[:, 1500])
    assert (rows.min(), rows.max()) == pytest.approx((34 + row, 66 + row), abs=1.1)


def test_traces_are_not_background(tmp_path: Path, traces_file: Path) -> None:
    """Stripes of SOSS are measured beside the spectra; wheels elsewhere leave the step out."""
    path = rate_file(tmp_path, "NIS_SOSS", "NIRISS", (256, 2048))
    with models.open(path) as rate:
        rate.meta.subarray.name, rate.meta.instrument.pupil_position = "SUBSTRIP256", 245.76
        path = rate.save(tmp_path / "y_rate.fits")
        rate.meta.instrument.pupil_position = 200.0
        elsewhere = rate.save(tmp_path / "z_rate.fits")
    options = {"mask_science_regions": True, "n_sigma": 0.0, "save_mask": True}
    options |= {"override_pastasoss": str(traces_file), "output_dir": str(tmp_path)}
    CleanFlickerNoiseStep(**options).run(path)
    with models.open(tmp_path / "y_mask.fits") as mask:
        assert not mask.data[100, 1000]
        assert mask.data[100 + 18, 1000]
        assert mask.data.mean() == pytest.approx(1 - 33 / 256, abs=0.03)
    for change in ({"override_pastasoss": "N/A"}, {}):
        result = CleanFlickerNoiseStep(**options | change).run(path if change else elsewhere)
        assert "SKIPPED" == result.meta.cal_step.clean_flicker_noise
        assert "traces" in result.provenance[-1]["reason"]


def test_masks_of_another_shape_are_refused(tmp_path: Path) -> None:
    """One image, or one for each integration."""
    path = rate_file(tmp_path, "NRC_IMAGE", "NIRCAM", (32, 32))
    models.ImageModel(np.ones((8, 8), np.float32)).save(tmp_path / "mask.fits")
    with pytest.raises(InputError, match="shape"):
        CleanFlickerNoiseStep(user_mask=str(tmp_path / "mask.fits")).run(path)
    with pytest.raises(InputError, match="no file"):
        CleanFlickerNoiseStep(user_mask=str(tmp_path / "none.fits")).run(path)
