"""Filtered reference columns: drifts are recovered, outliers and other detectors left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest

from stpipe.steps.stage1.refpix import sirs
from stpipe.steps.stage1.refpix import step as refpix

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
