"""Wavelengths of an integral field: of pixels within slices, as the whole gwcs tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe import models
from stpipe.science.wcs import wavelengths as subject

if TYPE_CHECKING:
    import pytest


def field(regions: Any) -> Any:
    """Two slices of a detector, each with wavelengths of its own (m) and one way to the sky (um)."""
    from astropy.modeling import models as shapes
    from gwcs import WCS
    from gwcs.selector import LabelMapperArray, RegionsSelector

    from stpipe.science.wcs.lrs import world_frame
    from stpipe.science.wcs.nirspec import frames

    def of_slice(slope: float) -> Any:
        both = shapes.Mapping((0, 1, 0, 1))
        wave = shapes.Polynomial2D(1, c0_0=1e-6, c1_0=slope, c0_1=1e-11)
        return both | shapes.Identity(2) & wave

    by_slice = {1: of_slice(1.1e-9), 2: of_slice(1.3e-9)}
    selector = RegionsSelector(("x", "y"), ("u", "v", "lam"), by_slice, LabelMapperArray(regions))
    to_sky = shapes.Scale(1e-5) & shapes.Scale(1e-5) & shapes.Scale(1e6)
    detector = frames.pixels("detector")
    return WCS([(detector, selector), (frames.slicer(), to_sky), (world_frame(), None)])


def test_wavelengths_of_slices_are_those_of_the_gwcs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, in bands of rows, some of which see nothing; NaN between slices."""
    monkeypatch.setattr(subject, "BAND", 4)
    regions = np.zeros((15, 7), np.int32)
    regions[1:4, 1:], regions[9:14] = 1, 2
    image = models.IFUImageModel(np.zeros(regions.shape))
    image.set("regions", regions)
    image.meta.wcs = wcs = field(regions)
    y, x = np.indices(regions.shape, dtype=np.float64)
    expected = wcs(x, y)[2]
    assert 53 == np.isfinite(expected).sum()
    np.testing.assert_array_equal(expected, subject.wavelengths(image))
