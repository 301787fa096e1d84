"""Apertures of spectra, and the reference files that tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.errors import ReferenceMissing
from stpipe.science.spectra.aperture import Aperture, Limits, centre, find_aperture

ALONG, ACROSS = 7, 24


@settings(max_examples=50, deadline=None)
@given(first=st.floats(2, 10), width=st.floats(1, 9), offset=st.floats(-2, 2))
def test_weights_add_up_to_the_width(first: float, width: float, offset: float) -> None:
    """Wherever the limits are in a pixel; and an aperture that is moved has its centre moved."""
    limits = Limits(first + 2, first + 1 + width)
    aperture = Aperture(Limits(0, ALONG - 1), limits)
    wavelength = np.full((ALONG, ACROSS), 5.0)
    weights, _ = aperture.weights(wavelength)
    moved, _ = aperture.shifted(offset).weights(wavelength)

    np.testing.assert_allclose(weights.sum(axis=1), width)
    np.testing.assert_allclose(moved.sum(axis=1), width)
    # Fractions of pixels at both ends shift the centre by no more than an eighth of a pixel each.
    shift = centre(moved)[1] - centre(weights)[1]
    assert abs(shift - offset) < 0.3


def test_an_aperture_follows_a_trace() -> None:
    """Its middle is the trace; where the trace is not known, or there is no wavelength, is nothing."""
    trace = np.array([np.nan, 10, 10.5, 11, 12, 13, 14])
    wavelength = np.full((ALONG, ACROSS), 5.0)
    wavelength[-1] = np.nan
    aperture = Aperture(Limits(0, ALONG - 1), Limits(0, 5), width=3.0, trace=trace)
    weights, limits = aperture.weights(wavelength)

    sums = weights.sum(axis=1)
    np.testing.assert_allclose([0, 3, 3, 3, 3, 3, 0], sums)
    middles = (weights * np.arange(ACROSS)).sum(axis=1)[1:-1] / sums[1:-1]
    np.testing.assert_allclose(trace[1:-1], middles)
    assert pytest.approx(np.nanmean(trace)) == limits.middle


def read(folder: Path, *entries: dict[str, Any], order: int = 1) -> Aperture | None:
    path = folder / "extract1d.json"
    path.write_text(json.dumps({"apertures": [{"id": "SLIT", **e} for e in entries]}))
    return find_aperture(path, "SLIT", order, (ALONG, ACROSS), 2)


def test_reference_files_are_read_with_their_defaults(tmp_path: Path) -> None:
    """The order decides; lengths become odd; a mean is a polynomial of degree 0."""
    background = {"region_type": "background", "xstart": 1}
    second = {"spectral_order": 2, "xstart": 3}
    first = {"xstart": 4, "xstop": 6, "ystart": 2, "smoothing_length": 6, "bkg_fit": "mean"}
    assert read(tmp_path, background, second, order=3) is None
    found = read(tmp_path, background, second, first)

    assert found is not None
    assert (Limits(4, 6), Limits(2, ALONG - 1)) == (found.across, found.along)
    assert ("poly", 0, 5) == (found.bkg_fit, found.bkg_order, found.smoothing_length)
    assert found.region(np.ones((ALONG, ACROSS))) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no EXTRACT1D reference file in JSON"),
        ("[]", "is no EXTRACT1D reference file in JSON"),
        ('{"apertures": [{"id": "OTHER"}]}', "no aperture for SLIT; it has OTHER"),
        ('{"apertures": [{"id": "SLIT", "src_coeff": [[1], [2], [3]]}]}', "3 polynomials"),
    ],
)
def test_what_is_no_reference_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    """Named, with what was found."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ReferenceMissing, match=message):
        find_aperture(path, "SLIT", 1, (ALONG, ACROSS), 2)
