"""IPC: the compiled convolution against its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe import models
from stpipe.engine import chain
from stpipe.steps.stage1.ipc import step


def by_definition(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution of one image, 0 beyond it; the kernel has two more axes, for the pixels."""
    rows, columns = image.shape
    height, width = kernel.shape[:2]
    out = np.zeros_like(image, dtype=np.float64)
    for y, x, j, i in np.ndindex(rows, columns, height, width):
        v, u = y + height - 1 - j - height // 2, x + width - 1 - i - width // 2
        if 0 <= v < rows and 0 <= u < columns:
            out[y, x] += float(kernel[j, i, y, x]) * float(image[v, u])
    return out


@pytest.mark.parametrize("each", [False, True])
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3, 4, 5]))
def test_convolution(each: bool, seed: int, height: int, width: int) -> None:
    """Kernels of any size, for the detector or each pixel; reference pixels stay out of it."""
    rng = np.random.default_rng(seed)
    border = step.ReferenceBorder(*rng.integers(0, 3, 4))
    data = rng.normal(100, 10, (2, 1, 8, 11)).astype(np.float32)
    kernel = rng.random((height, width, 8, 11), np.float32)
    if not each:
        kernel[...] = kernel[..., :1, :1]
    out = step.deconvolve(data, kernel if each else kernel[..., 0, 0], border)
    inside = (..., *border.interior((8, 11)))
    expected = data.astype(np.float64)
    for image, target in zip(data[:, 0], expected[:, 0], strict=True):
        target[inside] = by_definition(image[inside], kernel[inside])
    np.testing.assert_allclose(out, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [3, 9])
def test_bands_reach_as_far_as_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The reference file decides how much of its neighbours a band needs."""
    rng = np.random.default_rng(1)
    kernel = rng.random((size, size), np.float32)
    reference = models.IPCModel(kernel)
    reference.save(tmp_path / "ipc.fits")
    ramp = models.RampModel(rng.normal(100, 10, (1, 1, 60, 40)).astype(np.float32))
    ramp.meta.instrument.name = "NIRCAM"
    ramp.meta.subarray.xstart = ramp.meta.subarray.ystart = 1
    path = ramp.save(tmp_path / "x_ramp.fits")
    border = step.ReferenceBorder.of(ramp.meta, (60, 40))
    expected = step.deconvolve(np.asarray(ramp.data), kernel, border)

    monkeypatch.setattr(chain, "BAND_BYTES", 1)
    monkeypatch.setattr(chain, "THINNEST", 7)
    product = step.IPCStep(override_ipc=str(tmp_path / "ipc.fits")).run(path)

    np.testing.assert_array_equal(expected, product.data)


def test_kernel_spreads_a_point_as_it_is_written() -> None:
    """A point of 1 becomes the kernel; nothing enters or leaves reference pixels."""
    kernel = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)
    data = np.zeros((1, 1, 5, 5), np.float32)
    data[0, 0, 2, 2] = 1
    none = step.ReferenceBorder(0, 0, 0, 0)
    out = step.deconvolve(data, kernel, none)
    np.testing.assert_array_equal(out[0, 0, 1:4, 1:4], kernel)
    bordered = step.deconvolve(data, kernel, step.ReferenceBorder(2, 0, 0, 0))
    np.testing.assert_array_equal(bordered[0, 0, :2], 0)
    data[0, 0, 1, 2] = 100
    same = step.deconvolve(data, kernel, step.ReferenceBorder(2, 0, 0, 0))
    np.testing.assert_array_equal(same[0, 0, 2:], bordered[0, 0, 2:])


@given(st.integers(0, 2**32 - 1))
def test_identity_kernel_changes_nothing(seed: int) -> None:
    """A kernel with its centre alone, one for each pixel, leaves data as they are."""
    data = np.random.default_rng(seed).normal(0, 1, (2, 2, 6, 7)).astype(np.float32)
    kernel = np.zeros((3, 3, 6, 7), np.float32)
    kernel[1, 1] = 1
    out = step.deconvolve(data, kernel, step.ReferenceBorder(1, 1, 0, 2))
    np.testing.assert_array_equal(out, data)
