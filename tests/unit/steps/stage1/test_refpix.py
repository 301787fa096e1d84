"""Reference pixels: planted drifts are removed, for every readout and orientation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.steps.stage1.refpix import clipping, step
from stpipe.steps.stage1.refpix import step as refpix
from stpipe.testing import apply

REFERENCE, DNU = dqflags.REFERENCE_PIXEL, dqflags.DO_NOT_USE
ORIENTATIONS = [(1, 2), (1, -2), (-1, 2), (2, 1), (-2, -1), (2, -1)]


def exposure(data: np.ndarray, dq: np.ndarray, **meta: Any) -> Any:
    """A NIRCam ramp as the step sees it."""
    known = {"xstart": 1, "ystart": 1, "fastaxis": 1, "slowaxis": 2, "name": "SUB"}
    subarray = SimpleNamespace(**{**known, **{k: v for k, v in meta.items() if k in known}})
    return SimpleNamespace(
        data=data.astype(np.float32),
        pixeldq=dq.astype(np.uint32),
        zeroframe=meta.get("zeroframe"),
        meta=SimpleNamespace(
            filename="test.fits",
            subarray=subarray,
            instrument=SimpleNamespace(name=meta.get("instrument", "NIRCAM")),
            exposure=SimpleNamespace(noutputs=meta.get("noutputs", 4)),
        ),
    )


def outputs_by_column(fastaxis: int, slowaxis: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of the output, and the parity of its columns, for each pixel in the science frame."""
    window = step.Window(0, 0, fastaxis, slowaxis, (2048, 2048))
    column = np.broadcast_to(np.arange(2048), (2048, 2048))
    science = np.empty((2048, 2048), dtype=int)
    window.to_detector(science)[...] = column
    return science // 512, science % 2


@pytest.mark.parametrize(("fastaxis", "slowaxis"), ORIENTATIONS[:4])
def test_drift_of_outputs_and_parities_is_removed(fastaxis: int, slowaxis: int) -> None:
    """A value for each output and column parity vanishes from all pixels, whatever the frame."""
    output, parity = outputs_by_column(fastaxis, slowaxis)
    drift = np.array([10.0, -20, 30, 5])[output] + 3.0 * parity
    dq = np.zeros((2048, 2048))
    ramp = exposure(drift[None, None], dq, fastaxis=fastaxis, slowaxis=slowaxis)
    apply(step.RefPixStep(use_side_ref_pixels=False), ramp, {})
    np.testing.assert_allclose(ramp.data, 0, atol=1e-5)


def test_drift_of_rows_is_removed_by_the_sides() -> None:
    """What changes slowly from row to row is measured at the sides; outliers do not matter."""
    rows = 5 * np.sin(np.arange(2048) / 300)
    data = np.broadcast_to(rows[:, None], (2048, 2048)).copy()
    dq = np.zeros(data.shape)
    data[100, :3] += 1000
    data[200:203, :4], dq[200:203, :4] = 1e6, DNU
    ramp = exposure(data[None, None], dq)
    apply(step.RefPixStep(), ramp, {})
    inner = ramp.data[0, 0, 10:-10, 4:-4]
    assert np.abs(np.diff(rows[10:-10])).max() < 0.02
    np.testing.assert_allclose(inner, inner[0, 0], atol=0.05)


@pytest.mark.parametrize("x0", [1, 2])
@pytest.mark.parametrize(("fastaxis", "slowaxis"), ORIENTATIONS)
def test_subarray_of_one_output(fastaxis: int, slowaxis: int, x0: int) -> None:
    """All reference pixels of a parity together tell the drift of that parity."""
    window = step.Window(x0 - 1, 0, fastaxis, slowaxis, (20, 30))
    columns = window.detector_slices()[1]
    parity = np.arange(columns.start, columns.stop) % 2
    data = np.empty((20, 30))
    turned = window.to_detector(data)
    turned[...] = np.where(parity, 7, 4)
    dq = np.zeros(data.shape)
    dq[:4] = REFERENCE
    dq[:, :4] = REFERENCE
    ramp = exposure(
        data[None, None], dq, noutputs=1, xstart=x0, fastaxis=fastaxis, slowaxis=slowaxis
    )
    apply(step.RefPixStep(), ramp, {})
    np.testing.assert_allclose(ramp.data, 0, atol=1e-6)


def test_without_reference_pixels_the_step_is_skipped() -> None:
    """Nothing to correct with is no correction, and is said."""
    data = np.ones((1, 1, 20, 30))
    with pytest.raises(Skip, match="reference pixels"):
        apply(step.RefPixStep(), exposure(data, np.zeros((20, 30)), noutputs=1), {})
    far = exposure(data, np.zeros((20, 30)), xstart=500, ystart=500)
    with pytest.raises(Skip, match="reference pixels"):
        apply(step.RefPixStep(), far, {})


def test_subarray_beyond_the_detector_is_skipped() -> None:
    """A window that the header places outside cannot be corrected."""
    data = np.ones((1, 1, 20, 30))
    with pytest.raises(Skip, match="not on the detector"):
        apply(step.RefPixStep(), exposure(data, np.zeros((20, 30)), xstart=2040), {})


def test_zero_frame_is_corrected_except_where_it_has_no_data() -> None:
    """The zero frame has a drift of its own; 0 stays 0."""
    frame = np.full((1, 20, 30), 6, dtype=np.float32)
    frame[0, 10, 10] = 0
    dq = np.zeros((20, 30))
    dq[:, :4] = REFERENCE
    ramp = exposure(np.ones((1, 1, 20, 30)), dq, noutputs=1, zeroframe=frame)
    apply(step.RefPixStep(), ramp, {})
    np.testing.assert_allclose(ramp.zeroframe, 0, atol=1e-6)


def test_clipped_mean_leaves_outliers_out() -> None:
    """Values far from the mean are dropped until none is left; nothing has no mean."""
    values = np.array([1.0] * 10 + [2.0] * 10 + [1000.0])
    assert clipping.clipped_mean(values, 3.0) == 1.5
    assert clipping.clipped_mean(np.array([4.0, 4.0]), 3.0) == 4.0
    assert clipping.clipped_mean(np.array([]), 3.0) is None


def test_running_median_mirrors_the_ends() -> None:
    """Windows are full at the ends; rows without good values use their neighbours."""
    values = np.array([[1.0], [5.0], [9.0], [2.0], [3.0]])
    good = np.ones(values.shape, dtype=bool)
    assert [5, 5, 5, 3, 2] == step.running_median(values, good, 3).tolist()
    good[1:] = False
    expected = [1, 1, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(step.running_median(values, good, 3), expected)


def test_miri_drift_is_removed_relative_to_the_first_group() -> None:
    """A value for each output and row parity; the first group stays as it is."""
    data = np.full((1, 2, 1024, 1032), 50.0)
    row, column = np.indices((1024, 1032))
    data[0, 1] += np.array([1.0, 2, 3, 4])[column % 4] + 10 * (row % 2)
    dq = np.zeros((1024, 1032))
    ramp = exposure(data, dq, instrument="MIRI")
    apply(step.RefPixStep(), ramp, {})
    np.testing.assert_allclose(ramp.data, 50, rtol=1e-6)
    drift = step.measure_miri(
        data.astype(np.float32), dq.astype(np.uint32), 3.0, odd_even_rows=True
    )
    band = step.subtract_miri_drift(data[:, :, 5:9].astype(np.float32), drift, first_row=5)
    np.testing.assert_allclose(band, 50, rtol=1e-6)


@pytest.mark.parametrize(("asked", "used"), [(10, 11), (11, 11), (1, 1)])
def test_even_windows_are_rounded_up(asked: int, used: int) -> None:
    """The running median at the sides has a middle."""
    assert used == refpix.RefPixStep(side_smoothing_length=asked)._rules().side_smoothing_length
