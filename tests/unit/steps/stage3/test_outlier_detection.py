"""What only one of several exposures shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dithered_field import changed
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage2.resample import ResampleStep
from stpipe.steps.stage3 import outlier_detection
from stpipe.steps.stage3.outlier_detection import Limits, OutlierDetectionStep
from stpipe.steps.stage3.tweakreg.step import TweakRegStep


def test_cosmic_rays_in_one_exposure_are_outliers(
    field: Path, association: Path, tmp_path: Path
) -> None:
    """All strong hits are flagged, little else, and the mosaic does not show them."""
    del association
    rng = np.random.default_rng(3)
    rows, columns = rng.integers(60, 260, (2, 40))

    def strike(number: int, image: Any) -> None:
        if number == 2:
            data = image.data.copy()
            data[rows, columns] += np.float32(500.0)
            image.data = data

    struck = changed(field, tmp_path, strike)
    aligned = TweakRegStep(minobj=10).run(struck)
    flagged = OutlierDetectionStep().run(aligned)
    with flagged[2] as member:
        bits = dqflags.OUTLIER | dqflags.DO_NOT_USE
        known = np.isfinite(models.open(tmp_path / member.meta.filename).data[rows, columns])
        assert ((member.dq[rows, columns] & bits) == bits)[known].mean() > 0.95
        assert np.isnan(member.data[rows, columns]).all()
        assert (member.dq & dqflags.OUTLIER > 0).mean() < 0.01
    with flagged[0] as member:
        assert (member.dq & dqflags.OUTLIER > 0).mean() < 0.002
    clean, dirty = (ResampleStep().run(library) for library in (flagged, aligned))
    assert np.nanmax(np.abs(dirty.data - clean.data)) > 50


def test_one_exposure_has_no_outliers_and_nothing_to_be_aligned_with(field: Path) -> None:
    """Skipped; it still becomes a mosaic."""
    path = next(field.glob("cal/*_cal.fits"))
    for step in (TweakRegStep, OutlierDetectionStep):
        with step().run(path)[0] as member:
            assert "only one exposure" in member.provenance[-1]["reason"]
    mosaic = ResampleStep().run(path)
    assert (mosaic.wht > 0).mean() > 0.9


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10_000))
def test_median_of_layers_in_bands(count: int, seed: int) -> None:
    """As numpy has it, however the exposures lie in the mosaic."""
    import tempfile

    rng = np.random.default_rng(seed)
    shape = (150, 40)
    stack = np.full((count, *shape), np.nan, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        layers = []
        for number in range(count):
            y, x = int(rng.integers(0, 100)), int(rng.integers(0, 20))
            window = outlier_detection.Window(slice(y, y + 50), slice(x, x + 20))
            values = rng.normal(0, 1, window.shape).astype(np.float32)
            values[rng.random(values.shape) < 0.2] = np.nan
            stack[number][window.section] = values
            path = Path(folder) / f"{number}"
            values.tofile(path)
            layers.append(outlier_detection.Layer(path, window))
        found = outlier_detection.median_of(layers, shape)
    empty = np.isnan(stack).all(axis=0)
    np.testing.assert_allclose(np.nanmedian(stack[:, ~empty], axis=0), found[~empty], rtol=1e-6)
    assert np.isnan(found[empty]).all()


def test_steepness_and_outliers() -> None:
    """A hit is an outlier beside a steep star, the star itself is not; neighbours need less."""
    expected = np.zeros((7, 7), np.float32)
    expected[3, 3] = 100
    slope = outlier_detection.steepness(expected)
    assert 100 == slope[3, 3] == slope[2, 3] == slope[3, 4]
    assert 0 == slope[2, 2]
    expected[0, 0] = np.nan
    assert np.isnan(outlier_detection.steepness(expected)[0, 0])
    assert 0 == outlier_detection.steepness(expected)[0, 1]

    err = np.ones((7, 7), np.float32)
    data = np.nan_to_num(expected)
    data[3, 3] += 60
    data[6, 1] += 10
    data[6, 2] += 4.5
    data[1, 6] += 4.5
    found = outlier_detection.outliers(data, err, expected, Limits(5, 4, 1.2, 0.7))
    assert [(6, 1), (6, 2)] == list(zip(*np.nonzero(found), strict=True))
