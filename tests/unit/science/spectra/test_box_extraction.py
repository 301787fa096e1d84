"""Sums over an aperture, their errors and their background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.science.spectra.aperture import Aperture, Limits
from stpipe.science.spectra.box_extraction import Background, extract, smooth

ALONG, ACROSS = 7, 24


def region(fit: str = "poly", order: int = 0, smoothing: int = 0) -> Background:
    """Both sides of the image."""
    where = np.zeros((ALONG, ACROSS))
    where[:, :6] = where[:, -5:] = 1
    return Background(where, fit, order, smoothing)


def box(first: float, last: float) -> Any:
    aperture = Aperture(Limits(0, ALONG - 1), Limits(first, last))
    return aperture.weights(np.full((ALONG, ACROSS), 5.0))[0]


seeds = st.integers(0, 2**32 - 1)
orders = st.integers(0, 3)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, order=orders, smoothing=st.sampled_from([0, 3, 5]), first=st.floats(8, 11))
def test_a_polynomial_background_is_taken_away(
    seed: int, order: int, smoothing: int, first: float
) -> None:
    """What is a polynomial across the dispersion leaves nothing; the light on it stays."""
    rng = np.random.default_rng(seed)
    across = np.polynomial.polynomial.polyval(
        np.linspace(-1, 1, ACROSS), rng.normal(size=order + 1)
    )
    weights = box(first, first + 4.5)
    star = np.zeros((2, ALONG, ACROSS))
    star[..., 9:14] = rng.uniform(1, 2, (2, ALONG, 5))
    none = {"rnoise": np.ones(star.shape)}

    found = extract(star + across, none, weights, region("poly", order, smoothing))

    np.testing.assert_allclose((star * weights).sum(axis=-1), found.flux, atol=1e-9)
    np.testing.assert_allclose((across * weights).sum(axis=-1) + 0 * star[..., 0], found.background)
    np.testing.assert_allclose(found.npixels, 5.5)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, order=orders)
def test_variances_follow_from_the_pixels(seed: int, order: int) -> None:
    """The flux is a sum of pixels with factors; its variance has their squares."""
    rng = np.random.default_rng(seed)
    image, variance = rng.normal(size=(2, ALONG, ACROSS))
    variance = variance**2
    image[rng.random(image.shape) < 0.05] = np.nan
    weights = box(8.3, 14.1)
    weights[np.isnan(image)] = 0

    def flux(values: Any) -> Any:
        return extract(values, {"x": variance}, weights, region("poly", order)).flux

    factors = np.zeros(image.shape)
    for pixel in range(ACROSS):
        moved = image.copy()
        moved[:, pixel] += 1.0
        factors[:, pixel] = np.nan_to_num(flux(moved) - flux(image))

    found = extract(image, {"x": variance}, weights, region("poly", order))
    np.testing.assert_allclose((factors**2 * variance).sum(axis=-1), found.variance["x"])


def test_errors_are_those_of_many_trials() -> None:
    """The scatter of fluxes of noisy images is what the variances say, also of medians."""
    rng = np.random.default_rng(5)
    image = rng.normal(3, 0.5, (4000, ALONG, ACROSS))
    variance = {"x": np.full(image.shape, 0.25)}
    for fit, tolerance in (("poly", 0.02), ("median", 0.05)):
        found = extract(image, variance, box(9, 14), region(fit))
        scatter = found.flux.std(axis=0).mean()
        assert pytest.approx(scatter, rel=tolerance) == np.sqrt(found.variance["x"]).mean()


def test_missing_pixels() -> None:
    """They do not count; a row without any has no flux, one without background none to subtract."""
    image = np.ones((ALONG, ACROSS))
    image[1, 10] = image[2, 9:15] = np.nan
    image[3, :6] = image[3, -5:] = np.nan
    variance = {"x": np.where(np.isnan(image), np.nan, 1.0)}

    found = extract(image, variance, box(9, 14), region())
    np.testing.assert_allclose([6, 5, 0, 6], found.npixels[:4])
    np.testing.assert_allclose([0, 0, np.nan, 6], found.flux[:4], atol=1e-12)
    assert np.isfinite(found.variance["x"]).all()
    median = extract(image, variance, box(9, 14), region("median"))
    np.testing.assert_allclose([0, 0, np.nan, np.nan], median.flux[:4], atol=1e-12)


def test_smoothing_is_a_mean_of_neighbours_along_the_dispersion() -> None:
    """NaN does not count; the ends go on as they are."""
    image = np.array([[1.0], [2.0], [np.nan], [6.0], [7.0]])

    np.testing.assert_allclose([[4 / 3], [1.5], [4.0], [6.5], [20 / 3]], smooth(image, 3))
    assert smooth(image, 0) is image
