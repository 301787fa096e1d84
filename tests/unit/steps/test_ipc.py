"""IPC: the compiled convolution against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe.steps import ipc


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
    border = ipc.ReferenceBorder(*rng.integers(0, 3, 4))
    data = rng.normal(100, 10, (2, 1, 8, 11)).astype(np.float32)
    kernel = rng.random((height, width, 8, 11), np.float32)
    if not each:
        kernel[...] = kernel[..., :1, :1]
    out = ipc.deconvolve(data, kernel if each else kernel[..., 0, 0], border)
    inside = (..., *border.interior((8, 11)))
    expected = data.astype(np.float64)
    for image, target in zip(data[:, 0], expected[:, 0], strict=True):
        target[inside] = by_definition(image[inside], kernel[inside])
    np.testing.assert_allclose(out, expected, rtol=1e-5)
