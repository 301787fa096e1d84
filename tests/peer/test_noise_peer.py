"""Cleaning of flicker noise and the thermal frame agree with the peer.

Needs PEER_PYTHON. Draft rates are given to both: the ramp fit has tests of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import numpy.typing as npt
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.science.background import levels as background
from stpipe.steps.stage1 import picture_frame
from stpipe.steps.stage1.clean_flicker_noise import choice, nsclean, soss_traces
from stpipe.steps.stage1.clean_flicker_noise import step as clean_flicker_noise
from stpipe.steps.stage1.clean_flicker_noise.step import CleanFlickerNoiseStep, Scene
from stpipe.steps.stage1.picture_frame import PictureFrameStep

Arrays = dict[str, npt.NDArray[Any]]


def scene(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Rates with a gradient, stars, NaN and zeros."""
    y, x = np.indices(shape)
    image = 2 + 0.002 * y + 0.001 * x + rng.normal(0, 0.05, shape)
    for _ in range(12):
        yc, xc = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        image += rng.exponential(30) * np.exp(-((y - yc) ** 2 + (x - xc) ** 2) / 8)
    image[rng.random(shape) < 0.01] = np.nan
    image[rng.random(shape) < 0.01] = 0
    return image.astype(np.float32)


def flickering_ramp(
    rng: np.random.Generator, rates: npt.NDArray[Any], nints: int, ngroups: int
) -> Arrays:
    """Ramps of a scene with noise that is the same along rows, jumps and unusable groups."""
    shape = (nints, ngroups, *rates.shape[-2:])
    steps = np.nan_to_num(rates) * 10 + rng.normal(0, 3, shape)
    steps += rng.normal(0, 5, (*shape[:3], 1))
    flags = rng.choice([0, dqflags.JUMP_DET, dqflags.DO_NOT_USE], shape, p=[0.96, 0.02, 0.02])
    flags[-1, -1] |= dqflags.DO_NOT_USE
    return {
        "data": np.cumsum(steps, axis=1).astype(np.float32),
        "groupdq": flags.astype(np.uint8),
        "pixeldq": np.zeros(shape[2:], np.uint32),
    }


INSTRUMENTS = {"NRC": "NIRCAM", "NRS": "NIRSPEC", "MIR": "MIRI", "NIS": "NIRISS"}


def meta(kind: str, detector: str, **changes: Any) -> dict[str, Any]:
    """Metadata that decides how an exposure is cleaned."""
    values = {
        "meta.exposure.type": kind,
        "meta.instrument.detector": detector,
        "meta.instrument.name": INSTRUMENTS[kind[:3]],
        "meta.subarray.name": "SUB320",
        "meta.subarray.slowaxis": 2,
    }
    return values | {f"meta.{name.replace('__', '.')}": value for name, value in changes.items()}


def model_of(a: Arrays, values: dict[str, Any]) -> Any:
    """A ramp, cube or image of arrays, with metadata."""
    kinds: Any = {2: models.ImageModel, 3: models.CubeModel, 4: models.RampModel}
    model = kinds[a["data"].ndim]()
    for name in ("data", "groupdq", "pixeldq", "dq"):
        if name in a:
            setattr(model, name, a[name].copy())
    for name, value in values.items():
        model.set(name, value)
    return model


CLIPPINGS: list[dict[str, Any]] = [
    {},
    {"sigma_upper": 3.0, "lower_half_only": True},
    {"fit_histogram": True},
    {"fit_histogram": True, "lower_half_only": True, "sigma_lower": 2.0},
]


@pytest.mark.parametrize("options", CLIPPINGS)
def test_clipping(peer: Any, options: dict[str, Any]) -> None:
    """By deviations and by a histogram, of all values and of the lower half."""
    rng = np.random.default_rng(1)
    image, mask = scene(rng, (120, 140)), rng.random((120, 140)) < 0.9
    mask &= ~np.isnan(image)
    expected = peer("flicker_clip", options, image=image, mask=mask)
    rules = background.Clipping(
        options.get("sigma_lower", 3.0),
        options.get("sigma_upper", 2.0),
        options.get("fit_histogram", False),
        options.get("lower_half_only", False),
    )
    background.clip_to_background(image, mask, rules)
    np.testing.assert_array_equal(expected["mask"], mask)


@pytest.mark.parametrize("method", ["median", "model"])
def test_background_level(peer: Any, method: str) -> None:
    """A number, or an image from boxes."""
    rng = np.random.default_rng(2)
    image = np.nan_to_num(scene(rng, (96, 128)))
    mask = np.ones(image.shape, dtype=bool)
    expected = peer("flicker_level", {"background_method": method}, image=image, mask=mask)
    level = background.background_level(image, mask, method)
    np.testing.assert_array_equal(expected["mask"], mask)
    # Versions of photutils interpolate differently.
    np.testing.assert_allclose(level, expected["level"], rtol=1e-3 if method == "model" else 2e-5)


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("NRC_IMAGE", "NRCA1", {}),
    ("NRC_IMAGE", "NRCA1", {"background_method": "model", "background_box_size": [12, 16]}),
    ("NRC_IMAGE", "NRCA1", {"background_method": "None", "n_sigma": 0.0}),
    ("NRC_IMAGE", "NRCA1", {"single_mask": False, "fit_histogram": True}),
    ("NRC_IMAGE", "NRCA1", {"background_method": "median_image"}),
    ("NRC_IMAGE", "NRCA1", {"apply_flat_field": True}),
    ("MIR_IMAGE", "MIRIMAGE", {"fit_by_channel": True}),
    ("NRS_FIXEDSLIT", "NRS1", {"fit_method": "fft"}),
    ("NRS_FIXEDSLIT", "NRS2", {"fit_method": "fft", "background_method": "None"}),
]


@pytest.mark.parametrize("of_rates", [False, True])
@pytest.mark.parametrize(("kind", "detector", "options"), CASES)
def test_cleaning(
    peer: Any, kind: str, detector: str, options: dict[str, Any], of_rates: bool
) -> None:
    """Ramps and rates, all backgrounds, masks of the exposure and of integrations."""
    rng = np.random.default_rng(3)
    rates = scene(rng, (96, 128))
    each = rates + rng.normal(0, 0.02, (3, *rates.shape)).astype(np.float32)
    a = flickering_ramp(rng, rates, 3, 4)
    if of_rates:
        noise = rng.normal(0, 0.3, (3, 96, 1)).astype(np.float32)
        a = {"data": each + noise, "dq": np.zeros(each.shape, np.uint32)}
        each = a["data"]
    values = meta(kind, detector)
    flat = None
    if options.get("apply_flat_field"):
        flat = rng.normal(1, 0.1, rates.shape).astype(np.float32)
    single = options.get("single_mask", True) and "image" not in options.get(
        "background_method", ""
    )
    drafts = rates if single else each
    given = {n: v for n, v in options.items() if n != "apply_flat_field"}
    if flat is not None:
        given["flat_filename"] = "given"
    expected = peer("flicker", {"meta": values, "options": given}, **a, rates=drafts, flat=flat)
    assert "COMPLETE" == str(expected["status"])

    step = CleanFlickerNoiseStep(**options)
    model = model_of(a, values)
    fitted = (models.ImageModel(rates), models.CubeModel(each))
    shown = Scene(model, model) if of_rates else Scene(*fitted)
    step._flat = lambda: flat  # type: ignore[method-assign]
    rules = step._rules(model, shown)
    mask = step._mask(model, shown, rules)
    data = clean_flicker_noise.planes_of(model)
    medians = step._medians(model, shown) if step._by_median_image else None
    step.save_background = True
    found = step._clean(model, mask, rules, medians)
    cleaned, levels = (np.asarray(found[name]).reshape(data.shape) for name in found)

    tolerance = 2e-3 if not of_rates else 2e-5
    shape = expected["data"].shape
    np.testing.assert_allclose(cleaned.reshape(shape), expected["data"], rtol=2e-5, atol=tolerance)
    np.testing.assert_allclose(
        levels.reshape(shape), expected["background"], rtol=2e-4, atol=tolerance
    )
    assert np.nanmax(np.abs(cleaned - data)) > 0.1


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_fourier_fit_of_full_frames(peer: Any, detector: str) -> None:
    """Row by row of the detector, with gaps where slits are."""
    rng = np.random.default_rng(4)
    image = rng.normal(0, 0.05, (2048, 2048)) + rng.normal(0, 0.3, 2048).cumsum() / 50
    image = image.astype(np.float32)
    image[700:900] += 5
    values = meta("NRS_FIXEDSLIT", detector, subarray__name="FULL")
    a = {"data": image, "dq": np.zeros(image.shape, np.uint32)}
    options = {"fit_method": "fft", "background_method": "None", "n_sigma": 3.0}
    expected = peer("flicker", {"meta": values, "options": options}, **a, rates=image)

    step = CleanFlickerNoiseStep(**options)
    model = model_of(a, values)
    rules = step._rules(model, Scene(model, model))
    mask = step._mask(model, Scene(model, model), rules)
    cleaned = step._clean(model, mask, rules, None)["data"]

    np.testing.assert_allclose(cleaned, expected["data"], rtol=2e-5, atol=2e-5)
    assert np.abs(cleaned - image).max() > 0.1


def test_pieces_of_subarrays(peer: Any) -> None:
    """Slits that are read with other frequencies, and few pixels in some rows."""
    rng = np.random.default_rng(5)
    image = (rng.normal(0, 0.1, (64, 256)) + rng.normal(0, 0.3, 256)).astype(np.float32)
    image[20:50, :200] += 8
    values = meta("NRS_FIXEDSLIT", "NRS1", subarray__name="ALLSLITS")
    a = {"data": image, "dq": np.zeros(image.shape, np.uint32)}
    options = {"fit_method": "fft", "background_method": "None", "n_sigma": 3.0}
    expected = peer("flicker", {"meta": values, "options": options}, **a, rates=image)

    step = CleanFlickerNoiseStep(**options)
    model = model_of(a, values)
    rules = step._rules(model, Scene(model, model))
    mask = step._mask(model, Scene(model, model), rules)
    cleaned = step._clean(model, mask, rules, None)["data"]

    assert nsclean.CUTOFFS_ALLSLITS == rules.fourier.cutoffs  # type: ignore[union-attr]
    np.testing.assert_allclose(cleaned, expected["data"], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("subarray", "rows"), [("SUBSTRIP256", 256), ("SUBSTRIP96", 96)])
@pytest.mark.parametrize("position", [245.6, 245.76, 245.9])
def test_traces_of_soss(
    peer: Any, tmp_path: Path, position: float, subarray: str, rows: int
) -> None:
    """Two orders, turned by the pupil wheel; one leaves the subarray."""
    rng = np.random.default_rng(8)
    x = np.arange(4, 2044, dtype=np.float64)
    curves = [60 + 3e-5 * (x - 900) ** 2, 90 + 1.2e-4 * (x - 300) ** 2]
    traces = [np.stack([x, y], axis=1) for y in curves]
    models_of_order = [
        np.array([c, 0.1, -d, 0.02, *rng.normal(0, 1e-3, 6)]) for c, d in ((2.8, 2.0), (1.4, 0.8))
    ]
    for coefficients in models_of_order:
        coefficients[1] = -1.5
    meta: dict[str, Any] = {"pwcpos_cmd": 245.76, "pwcpos_bounds": [245.5, 246.0]}
    meta |= {"wavemap_wlmin": 0.5, "wavemap_wlmax": 5.5, "wavemap_nwl": 5001}
    meta |= {"subarray_ymin": 1792, "soss_xdim": 2048, "soss_ydim": 300}
    extents = np.array([[0.0, -0.25], [2048.0, 0.25]])
    pivots = [[1000.0, 70.0], [500.0, 95.0]]
    given = {f"trace_{n}": trace for n, trace in enumerate(traces)}
    given |= {f"coefficients_{n}": c for n, c in enumerate(models_of_order)}
    parameters = {"meta": meta, "pivots": pivots, "position": position, "subarray": subarray}
    rates = np.ones((rows, 2048), np.float32)
    expected = peer("soss_traces", parameters, rates=rates, extents=extents, **given)

    content = {
        "meta": meta,
        "traces": [
            {"spectral_order": n + 1, "trace": trace, "pivot_x": px, "pivot_y": py}
            for n, (trace, (px, py)) in enumerate(zip(traces, pivots, strict=True))
        ],
        "wavecal_models": [
            {"spectral_order": n + 1, "coefficients": c, "scale_extents": extents}
            for n, c in enumerate(models_of_order)
        ],
    }
    asdf.AsdfFile(content).write_to(tmp_path / "soss.asdf")
    found = soss_traces.traces_of(tmp_path / "soss.asdf", position, subarray)

    mask = soss_traces.mask_of_traces(found, rates.shape)
    np.testing.assert_array_equal(expected["mask"], ~mask)
    assert 0.1 < mask.mean() < 0.9


LOOKS = [
    ("NRC_IMAGE", "flat"),
    ("NIS_IMAGE", "steep"),
    ("NRC_IMAGE", "stepped"),
    ("NIS_IMAGE", "stepped"),
    ("NRC_IMAGE", "crowded"),
    ("NIS_IMAGE", "noisy"),
]


@pytest.mark.parametrize(("kind", "look"), LOOKS)
def test_choice_of_parameters(peer: Any, kind: str, look: str) -> None:
    """Every branch of the decision, on images that look like it."""
    rng = np.random.default_rng(6)
    y, x = np.indices((2048, 2048))
    image = rng.normal(1, 0.01, (2048, 2048))
    image += {"steep": 3e-4, "crowded": 2e-4}.get(look, 0) * x
    if look == "stepped":
        image += 0.2 * ((x if kind == "NRC_IMAGE" else y) // 512)
    if look == "noisy":
        image += 5 * rng.normal(0, 0.1, 2048)[:, None] + rng.normal(0, 0.1, 2048)
    if look == "crowded":
        image[rng.random(image.shape) < 0.2] += 4
    values = meta(kind, "NRCA1" if kind == "NRC_IMAGE" else "NIS", subarray__name="FULL")
    values["meta.subarray.slowaxis"] = 2 if kind == "NRC_IMAGE" else -1
    image = image.astype(np.float32)
    a = {"data": image, "dq": np.zeros(image.shape, np.uint32)}
    expected = peer("flicker_choice", {"meta": values}, **a)

    axis = abs(values["meta.subarray.slowaxis"]) - 1
    method, by_channel = choice.choose(image, None, axis, kind)
    assert (str(expected["background_method"]), bool(expected["fit_by_channel"])) == (
        method,
        by_channel,
    )


@pytest.mark.parametrize("of_rates", [False, True])
def test_picture_frame(peer: Any, of_rates: bool) -> None:
    """Every group is scaled by its own center and edges, the first stays."""
    rng = np.random.default_rng(7)
    y, x = np.indices((2048, 2048)) / 1024 - 1
    frame = (np.maximum(np.abs(x), np.abs(y)) ** 8 + rng.normal(0, 0.01, x.shape)).astype("f4")
    rates = (frame + rng.normal(0, 0.1, frame.shape) + 5 * (rng.random(frame.shape) < 0.1)).astype(
        np.float32
    )
    shape = (2, 2048, 2048) if of_rates else (1, 3, 2048, 2048)
    height = rng.normal(
        1 if of_rates else 50, 0.5 if of_rates else 20, shape[:-2]
    )  # rates must not look like sources
    data = rng.normal(0, 1, shape) + height[..., None, None] * frame
    a = {"data": data.astype(np.float32)}
    if of_rates:
        a["dq"] = np.zeros(shape, np.uint32)
        rates = a["data"]
    else:
        a |= {"groupdq": np.zeros(shape, np.uint8), "pixeldq": np.zeros(shape[2:], np.uint32)}
    values = meta("NRS_FIXEDSLIT", "NRS1", subarray__name="FULL")
    parameters = {"meta": values, "n_sigma": 2.0}
    expected = peer("picture_frame", parameters, **a, frame=frame, rates=rates)
    assert "COMPLETE" == str(expected["status"])

    step = PictureFrameStep(mask_science_regions=False)
    model = model_of(a, values)
    if not of_rates:
        seen = picture_frame.background_mask(
            rates, background.Clipping(upper=2.0), np.zeros(rates.shape, dtype=bool)
        )
        step._mask = lambda _: seen  # type: ignore[method-assign]
    reference = models.PictureFrameModel(frame)
    step.references = {"pictureframe": reference}  # type: ignore[assignment]
    result = step.process(model)

    np.testing.assert_allclose(result.data, expected["data"], rtol=2e-5, atol=2e-3)
    assert np.abs(result.data - a["data"]).max() > (0.5 if of_rates else 10)
