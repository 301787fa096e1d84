"""Amplitudes of profiles, their errors and their background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.science.spectra.box_extraction import Background
from stpipe.science.spectra.optimal_extraction import fit_profiles
from stpipe.science.spectra.point_spread import PointSpread, Traces, best_traces

ALONG, ACROSS = 9, 24
WAVE = np.linspace(1, 2, ALONG)[:, np.newaxis] + np.zeros(ACROSS)
PLACES = np.arange(-60, 61) / 5


def spread(waves: Any = (0.9, 1.5, 2.1)) -> PointSpread:
    """A profile that becomes wider with wavelength, five samples in a pixel."""
    known = np.asarray(waves, dtype=float)
    light = np.exp(-0.5 * (PLACES / known[:, np.newaxis]) ** 2)
    return PointSpread(light, known, 5.0, 60.0)


def traces(nod: float | None = None) -> Traces:
    return Traces(10.3 + 0.2 * np.arange(ALONG), nod)


def level(order: int) -> Background:
    return Background(np.zeros((ALONG, ACROSS)), bkg_order=order)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.integers(-1, 2), nod=st.sampled_from([None, 6.0]))
def test_what_is_made_of_profiles_is_found(seed: int, order: int, nod: float | None) -> None:
    """The light of the source, whatever else there is and whichever pixels are missing."""
    rng = np.random.default_rng(seed)
    profiles = traces(nod).profiles(spread(), WAVE)
    powers = rng.normal(size=(2, order + 1))
    place = np.linspace(-1, 1, ACROSS)
    sky = sum((c[:, None, None] * place**n for n, c in enumerate(powers.T)), np.zeros((2, 1, 1)))
    light = rng.uniform(1, 5, (2, len(profiles), ALONG))
    image = np.einsum("nsa,sax->nax", light, profiles) + sky
    missing = rng.random(image.shape) < 0.1
    variances = {"x": np.ones(image.shape)}
    background = level(order) if order >= 0 else None

    found = fit_profiles(np.where(missing, np.nan, image), variances, profiles, background)

    np.testing.assert_allclose(light[:, 0], found.flux, rtol=1e-8)
    np.testing.assert_allclose(image, found.scene, atol=1e-8)
    assert (found.background != 0).any() == (order >= 0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.integers(-1, 1))
def test_variances_follow_from_the_pixels(seed: int, order: int) -> None:
    """The flux is a sum of pixels with factors; its variance has their squares."""
    rng = np.random.default_rng(seed)
    image, variance = rng.normal(size=(2, ALONG, ACROSS))
    variance = variance**2
    image[rng.random(image.shape) < 0.05] = np.nan
    profiles, background = traces().profiles(spread(), WAVE), level(order) if order >= 0 else None

    def flux(values: Any) -> Any:
        return fit_profiles(values, {"x": variance}, profiles, background).flux

    factors = np.zeros(image.shape)
    for pixel in range(ACROSS):
        moved = image.copy()
        moved[:, pixel] += 1.0
        factors[:, pixel] = flux(moved) - flux(image)

    found = fit_profiles(image, {"x": variance}, profiles, background)
    np.testing.assert_allclose((factors**2 * variance).sum(axis=-1), found.variance["x"])
    known = np.isfinite(image)
    alone = profiles[0] * known / (profiles[0] ** 2 * known).sum(axis=-1, keepdims=True)
    share = found.variance["x"] - (alone**2 * variance).sum(axis=-1)
    np.testing.assert_allclose(np.maximum(share, 0) * (order >= 0), found.background_variance["x"])


def test_a_fit_is_less_noisy_than_a_sum_of_the_same_light() -> None:
    """Of even noise the variance is that of as many pixels as `npixels` says, or fewer."""
    profiles = traces().profiles(spread(), WAVE)
    found = fit_profiles(np.ones(WAVE.shape), {"x": np.ones(WAVE.shape)}, profiles)

    np.testing.assert_allclose(1 / (profiles[0] ** 2).sum(axis=1), found.npixels)
    np.testing.assert_allclose(found.npixels, found.variance["x"])


def test_what_pixels_do_not_tell_is_not_known() -> None:
    """No pixel; one pixel for an amplitude and a level."""
    image = np.ones((ALONG, ACROSS))
    image[1], image[2, :12], image[2, 13:] = np.nan, np.nan, np.nan
    profiles = traces().profiles(spread(), WAVE)

    found = fit_profiles(image, {"x": np.ones(image.shape)}, profiles, level(0))

    assert [1, 2] == list(np.flatnonzero(np.isnan(found.flux)))
    assert 0 == found.npixels[1]


def test_profiles_are_where_the_trace_is() -> None:
    """Of sum 1; in any order of wavelengths; nothing beyond those that are known."""
    profile = traces().profiles(spread(), WAVE)[0]
    backwards = traces().profiles(spread((2.1, 1.5, 0.9)), WAVE)[0]
    cut = traces().profiles(spread((1.2, 1.5, np.nan)), WAVE)[0]

    np.testing.assert_allclose(1, profile.sum(axis=1))
    np.testing.assert_allclose(traces().trace, profile @ np.arange(ACROSS), atol=1e-3)
    np.testing.assert_allclose(profile, backwards, atol=1e-12)
    np.testing.assert_array_equal((WAVE[:, 0] >= 1.2) & (WAVE[:, 0] <= 1.5), cut.any(axis=1))


@pytest.mark.parametrize("nod", [None, 6.0])
def test_the_place_of_a_star_is_found(nod: float | None) -> None:
    """To a hundredth of a pixel, from half a pixel away; that of its negative image, too."""
    rng = np.random.default_rng(2)
    light = 400 * traces(nod).profiles(spread(), WAVE).sum(axis=0) + 3
    image = light + rng.normal(size=light.shape)
    image[rng.random(image.shape) < 0.05] = np.nan
    start = Traces(traces().trace + 0.5, None if nod is None else nod + 0.4)

    found = best_traces(image, np.ones(image.shape), WAVE, spread(), start)

    np.testing.assert_allclose(traces().trace, found.trace, atol=0.01)
    assert nod is None or pytest.approx(nod, abs=0.02) == found.nod
