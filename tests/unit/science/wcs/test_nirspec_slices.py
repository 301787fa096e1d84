"""Which slice of NIRSpec's integral-field unit a pixel sees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.modeling.models import Const1D, Identity, Mapping, Scale, Shift
from gwcs import WCS

from stpipe.science.wcs.nirspec import frames
from stpipe.science.wcs.nirspec.ifu import _mark


@pytest.mark.parametrize("shift", [0.2, 0.5, 0.7])
def test_pixels_whose_middle_is_in_the_box_are_labelled(shift: float) -> None:
    """Eleven columns before the band and nine after it, and no more."""
    first, low = 40 + shift, 100.0
    to_slit = (
        Mapping((1, 0))
        | Shift(-low - 10) & Shift(-first)
        | Scale(1 / 20) & Scale(1e-9)
        | Mapping((0, 0, 1))
        | Const1D(0) & Identity(2)
    )
    to_slit.inverse = (
        Mapping((2, 1), n_inputs=3) | Scale(1e9) & Scale(20) | Shift(first) & Shift(low + 10)
    )
    wcs = WCS([(frames.pixels("detector"), to_slit), (frames.slit(), None)])
    optics: Any = SimpleNamespace(band=SimpleNamespace(limits=(0.0, 300e-9)), unit=1.0)
    regions = np.zeros((2048, 2048), np.int32)

    assert _mark(regions, 3, wcs, SimpleNamespace(limits=(-0.5, 0.5)), optics)  # type: ignore[arg-type]
    columns = np.flatnonzero((regions == 3).any(axis=0))
    middles = np.arange(2048)
    within = (middles >= first - 11.5) & (middles <= first + 300 + 9.5)
    np.testing.assert_array_equal(np.flatnonzero(within), columns)
