"""Filtered reference columns: drifts are recovered, outliers and other detectors left out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asdf
import numpy as np
import pytest

from stpipe.steps.stage1.refpix import sirs
from stpipe.steps.stage1.refpix import step as refpix
from stpipe.testing import apply

ROWS = 2048
SMOOTHING = sirs.Smoothing(halfwidth=30, gaussmooth=1.0, sigreject=4.0)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """Half of the drift from each side, smoothed over some rows, for two detectors."""
    spectrum = 0.5 * np.exp(-((np.arange(ROWS // 2 + 1) / 150) ** 2)) + 0j
    content = {"gamma": np.stack([spectrum] * 4), "zeta": np.stack([spectrum] * 4)}
    path = tmp_path / "sirs.asdf"
    asdf.AsdfFile({"nrca1": content, "nis": {"gamma": content["gamma"]}}).write_to(path)
    return path


def test_slow_drifts_are_recovered_beside_outliers(reference: Path) -> None:
    """The filters pass what changes slowly; a hit in a reference pixel does not show."""
    filters = sirs.filters_of(reference, "NRCA1", SMOOTHING)
    assert filters is not None
    rng = np.random.default_rng(2)
    truth = 20 * np.sin(np.arange(ROWS) / 100)
    left, right = (truth[:, None] + rng.normal(0, 2, (ROWS, 4)) for _ in range(2))
    left[700, 2] += 1e5

    drift = sirs.filtered_drift(left, right, filters)

    assert (4, ROWS) == drift.shape
    inside = slice(40, -40)
    assert np.abs(drift[:, inside] - truth[inside]).max() < 3


@pytest.mark.parametrize("detector", ["NRCB4", "NIS"])
def test_other_detectors_have_no_filter(reference: Path, detector: str) -> None:
    """A detector that is not named, or without one of the sides."""
    assert sirs.filters_of(reference, detector, SMOOTHING) is None


@pytest.mark.parametrize(
    ("algorithm", "meta", "expected"),
    [
        ("median", {}, ()),
        ("sirs", {}, ("sirskernel",)),
        ("sirs", {"meta.instrument.name": "MIRI"}, ()),
        ("sirs", {"meta.subarray.name": "SUB320"}, ()),
        ("median", {"meta.exposure.readpatt": "NRSIRS2RAPID"}, ("refpix",)),
    ],
)
def test_only_references_that_are_used_are_selected(
    algorithm: str, meta: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """No search in CRDS for what the exposure or the parameters leave out."""
    full = {"meta.instrument.name": "NIRCAM", "meta.subarray.name": "FULL"}
    step = refpix.RefPixStep(refpix_algorithm=algorithm)
    assert expected == step.wanted_references(full | meta)


def full_frame(data: Any, fastaxis: int, slowaxis: int) -> Any:
    """A NIRCam ramp as a step sees it."""
    subarray = SimpleNamespace(xstart=1, ystart=1, name="FULL")
    subarray.fastaxis, subarray.slowaxis = fastaxis, slowaxis
    return SimpleNamespace(
        data=np.asarray(data, np.float32)[None, None],
        pixeldq=np.zeros(data.shape, np.uint32),
        zeroframe=None,
        meta=SimpleNamespace(
            subarray=subarray,
            instrument=SimpleNamespace(name="NIRCAM", detector="NRCA1"),
            exposure=SimpleNamespace(noutputs=4),
        ),
    )


@pytest.mark.parametrize(("fastaxis", "slowaxis"), [(-1, 2), (1, -2), (-2, -1)])
@pytest.mark.parametrize("height", [None, 300])
def test_each_output_loses_the_drift_of_its_own_filter(
    monkeypatch: pytest.MonkeyPatch, fastaxis: int, slowaxis: int, height: int | None
) -> None:
    """Filters that pass what is at the sides with a factor for each output, in all orientations."""
    factors = np.array([0.5, 1.0, 1.5, 2.0])
    filters = sirs.Filters(factors[:, None] / 2, factors[:, None] / 2, sigreject=1e9)
    monkeypatch.setattr(refpix.RefPixStep, "_filters", lambda *_: filters)
    rows = 5 * np.sin(np.arange(2048) / 300)
    window = refpix.Window(0, 0, fastaxis, slowaxis, (2048, 2048))
    science = np.empty((2048, 2048))
    turned = window.to_detector(science)
    turned[...] = factors[np.arange(2048) // 512] * rows[:, None]
    turned[:, :4] = turned[:, -4:] = rows[:, None]  # what the filters see
    ramp = full_frame(science, fastaxis, slowaxis)
    step = refpix.RefPixStep(refpix_algorithm="sirs")
    apply(step, ramp, {}, height=height)
    inner = window.to_detector(ramp.data[0, 0])[:, 4:-4]
    level = inner.mean(axis=0)  # that of the rows at the edges was subtracted before
    np.testing.assert_allclose(inner - level, 0, atol=2e-3)
    # Filters see the sides without the drift of their own outputs, which the edges of the frame tell.
    edges = np.concatenate([rows[:4], rows[-4:]]).mean()
    left = edges * factors * ((factors[0] + factors[-1]) / 2 - 1)
    np.testing.assert_allclose([level[k * 512 + 100] for k in range(4)], left, rtol=0.03)
