"""What only one of several exposures shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest
from dithered_field import changed
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.models import dqflags
from stpipe.science.mosaics.drizzle import Window
from stpipe.steps.stage2.resample import ResampleStep
from stpipe.steps.stage3.exp_to_source import ExpToSourceStep
from stpipe.steps.stage3.outlier_detection.comparison import Limits, outliers, steepness
from stpipe.steps.stage3.outlier_detection.median import Layer, median_of
from stpipe.steps.stage3.outlier_detection.slices import (
    SliceLimits,
    least_difference,
    outliers_of_slices,
    standing_out,
)
from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep
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
            window = Window(slice(y, y + 50), slice(x, x + 20))
            values = rng.normal(0, 1, window.shape).astype(np.float32)
            values[rng.random(values.shape) < 0.2] = np.nan
            stack[number][window.section] = values
            path = Path(folder) / f"{number}"
            values.tofile(path)
            layers.append(Layer(path, window))
        found = median_of(layers, shape)
    empty = np.isnan(stack).all(axis=0)
    np.testing.assert_allclose(np.nanmedian(stack[:, ~empty], axis=0), found[~empty], rtol=1e-6)
    assert np.isnan(found[empty]).all()


def test_steepness_and_outliers() -> None:
    """A hit is an outlier beside a steep star, the star itself is not; neighbours need less."""
    expected = np.zeros((7, 7), np.float32)
    expected[3, 3] = 100
    slope = steepness(expected)
    assert 100 == slope[3, 3] == slope[2, 3] == slope[3, 4]
    assert 0 == slope[2, 2]
    expected[0, 0] = np.nan
    assert np.isnan(steepness(expected)[0, 0])
    assert 0 == steepness(expected)[0, 1]

    err = np.ones((7, 7), np.float32)
    data = np.nan_to_num(expected)
    data[3, 3] += 60
    data[6, 1] += 10
    data[6, 2] += 4.5
    data[1, 6] += 4.5
    found = outliers(data, err, expected, Limits(5, 4, 1.2, 0.7))
    assert [(6, 1), (6, 2)] == list(zip(*np.nonzero(found), strict=True))


# --- slits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"weight_type": "exptime"}])
def test_a_hit_in_one_exposure_of_a_source_is_an_outlier(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    """The star is none; what is not flagged stays as it is; and a file gives what a model gives."""
    source = ExpToSourceStep().run(dithered_slits.write(tmp_path))[0]
    found = OutlierDetectionStep(**parameters).run(source)

    assert "MultiExposureModel" == type(found).__name__
    bits = dqflags.OUTLIER | dqflags.DO_NOT_USE
    for before, part, place in zip(
        source.exposures, found.exposures, dithered_slits.HITS, strict=True
    ):
        flagged = (part.dq & dqflags.OUTLIER) > 0
        assert bits == part.dq[place] & bits
        assert np.isnan(part.data[flagged]).all()
        assert flagged.mean() < 0.03
        known = np.isfinite(part.data)
        np.testing.assert_array_equal(before.data[known], part.data[known])
    again = OutlierDetectionStep(**parameters).run(source.save(tmp_path / "x_cal.fits"))
    np.testing.assert_array_equal(found.exposures[1].dq, again.exposures[1].dq)


def test_without_dithers_pixels_are_compared(tmp_path: Path) -> None:
    """A hit is far from the median of the same pixel, by the median error."""
    made = dithered_slits.exposures()
    for exposure in made:
        for number, slit in enumerate(exposure.slits):
            slit.data = made[0].slits[number].data
            slit.dq = np.zeros(slit.shape, np.uint32)
    struck = made[1].slits[1].data.copy()
    struck[12, 30] += 50
    made[1].slits[1].data = struck
    source = ExpToSourceStep().run(dithered_slits.write(tmp_path, made))[1]

    found = OutlierDetectionStep(resample_data=False, weight_type="exptime").run(source)
    hits = [np.argwhere(part.dq & dqflags.OUTLIER).tolist() for part in found.exposures]
    assert [[], [[12, 30]], []] == hits


def test_one_exposure_of_a_source_is_left_alone(tmp_path: Path) -> None:
    source = ExpToSourceStep().run(dithered_slits.write(tmp_path, dithered_slits.exposures()[:1]))[
        0
    ]
    found = OutlierDetectionStep().run(source)
    assert "SKIPPED" == found.meta.cal_step.outlier_detection
    assert "only one exposure" in found.provenance[-1]["reason"]


# --- integral fields -------------------------------------------------------------------------------


def test_a_pixel_that_is_hot_in_all_exposures_of_a_detector_is_an_outlier(tmp_path: Path) -> None:
    """In all exposures of that detector, in none of another."""
    made = dithered_slits.images("NRS_IFU", "NRS1", "NIRSPEC", 2)
    other = dithered_slits.images("NRS_IFU", "NRS2", "NIRSPEC", 1)[0]
    data = other.data.copy()
    data[30, 40] = 5.0
    other.data = data
    members = [Path(i.save(tmp_path / i.meta.filename)) for i in (*made, other)]
    found = OutlierDetectionStep().run(dithered_slits.association(tmp_path, members, "x"))

    flagged = [bool(member.dq[30, 40] & dqflags.OUTLIER) for member in found]
    assert [True, True, False] == flagged


def test_least_differences() -> None:
    """Of both neighbours along an axis the nearer; beyond the edges the light is 0."""
    data = np.array([[1, 4, np.nan, 2], [1, 1, 1, 7]], np.float32)
    dq = np.array([[0, 0, 0, 0], [0, 0, 0, 1]], np.uint32)

    along = least_difference(data, dq, 1)
    np.testing.assert_array_equal([[1, 3, np.nan, 2], [0, 0, 0, np.nan]], along)
    across = least_difference(data, dq, 0)
    np.testing.assert_array_equal([[0, 3, np.nan, 2], [0, 1, 1, np.nan]], across)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(3, 3), (7, 7), (5, 3)]))
def test_running_medians_are_those_of_numpy(seed: int, window: tuple[int, int]) -> None:
    """Of the values that there are; beyond the edges they are 0."""
    from stpipe.steps.stage3.outlier_detection._medians import median_filter

    rng = np.random.default_rng(seed)
    image = rng.integers(0, 6, (13, 17)).astype(float)
    image[rng.random(image.shape) < 0.4] = np.nan
    padded = np.pad(image, [(size // 2,) * 2 for size in window])
    windows = np.lib.stride_tricks.sliding_window_view(padded, window).reshape(*image.shape, -1)
    known = np.isfinite(windows).any(axis=-1)
    expected = np.full(image.shape, np.nan)
    expected[known] = np.nanmedian(windows[known], axis=-1)
    np.testing.assert_array_equal(expected, median_filter(image, *window))


def test_pixels_whose_neighbours_have_no_value() -> None:
    """Are outliers if that is asked for."""
    least = np.random.default_rng(1).uniform(1, 2, (20, 20))
    least[10, 10] = np.nan
    least[5, 5] = 90
    found = standing_out(least, SliceLimits((7, 7), 99.0))
    assert found[5, 5]
    assert not found[10, 10]
    assert standing_out(least, SliceLimits((7, 7), 99.0, without_neighbours=True))[10, 10]


def test_no_member_has_no_outliers() -> None:
    assert [] == list(outliers_of_slices(models.ModelLibrary([]), SliceLimits((7, 7), 99.0)))
