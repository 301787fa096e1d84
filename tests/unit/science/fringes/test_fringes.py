"""Sines in spectra: how they are found, and what is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.science.fringes import fitting
from stpipe.science.fringes._sines import fit_sines, powers, powers_on_grid
from stpipe.science.fringes.columns import (
    Column,
    Outcome,
    SliceRules,
    column_factors,
    detector_search,
    without_lines,
)
from stpipe.science.fringes.single_band import without_fringes

WAVES = np.linspace(5.0, 5.7, 900)
NUMBERS = 1e4 / WAVES


def sine(period: float = 2.9, amplitude: float = 0.03, phase: float = 1.0) -> Any:
    """A fringe."""
    return 1 + amplitude * np.sin(2 * np.pi * NUMBERS / period + phase)


def spectrum(noise: float = 1e-4) -> Any:
    """A continuum."""
    rng = np.random.default_rng(2)
    return 40 * (1 + 0.2 * np.sin(WAVES * 4)) * rng.normal(1, noise, len(WAVES))


# --- spectra ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [2.2, 2.9, 3.6])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_sine_is_removed(period: float, scale: float) -> None:
    """To less than 5 %, in any unit."""
    truth = scale * spectrum()
    found = without_fringes(truth * sine(period), WAVES, 1)
    assert (1, 0, 0) == (found.found, found.absent, found.failed)
    assert np.std(found.values / truth) < 0.05 * 0.03 / np.sqrt(2)


def test_lines_and_what_is_not_positive_stay() -> None:
    """The flux of emission lines; samples that are negative or unknown."""
    truth = spectrum()
    for place in (200, 450, 700):
        truth += 60 * np.exp(-0.5 * ((np.arange(900) - place) / 1.5) ** 2)
    given_ = truth * sine()
    given_[30], given_[31] = -2, np.nan
    found = without_fringes(given_, WAVES, 2).values
    for place in (200, 450, 700):
        line = slice(place - 6, place + 7)
        assert truth[line].sum() == pytest.approx(found[line].sum(), rel=0.005)
    assert -2 == found[30]
    assert np.isnan(found[31])


def test_channels_with_a_dichroic() -> None:
    """Of channels 3 and 4 both kinds are looked for, of the others one."""
    numbers = np.linspace(830, 750, 1000)
    waves = 1e4 / numbers
    clean = 1 + 0.03 * np.sin(2 * np.pi * numbers / 2.9)
    for channel, kinds in ((1, 1), (2, 1), (3, 2), (4, 2)):
        found = without_fringes(100 * clean, waves, channel)
        assert kinds == found.found + found.absent + found.failed
        assert found.found >= 1


def test_spectra_that_cannot_be_fitted_stay() -> None:
    """Too few samples, too few waves, nothing positive, everything beyond 27.6 um; all is counted."""
    flux = spectrum()
    for values, waves in (
        (-flux, WAVES),
        (flux[:4], WAVES[:4]),
        (flux[:10], WAVES[:10]),
        (flux, np.linspace(27.7, 28.5, 900)),
    ):
        found = without_fringes(values, waves, 1)
        np.testing.assert_array_equal(values, found.values)
        assert (0, 1, 0) == (found.found, found.absent, found.failed)
    backwards = np.where(np.arange(900) > 500, WAVES - 0.2, WAVES)
    found = without_fringes(flux, backwards, 1)
    assert (0, 0, 1) == (found.found, found.absent, found.failed)


# --- columns ---------------------------------------------------------------------------------------

SEARCH = detector_search(2.9, 1.0, 5, 0.001)


def column(data: Any) -> Column:
    """A column of a slice with little noise."""
    snr = np.full(len(data), 100.0)
    return Column(data, data / data.mean(), snr, WAVES, np.full(len(data), 0.2))


def test_outcomes_of_columns() -> None:
    """Fitted, too short, too faint, without fringes, failed; only the first is changed."""
    rules = SliceRules([SEARCH], [10.0], smooth=False)
    data = spectrum() / 40
    factor, outcome = column_factors(column(data * sine()), rules)
    assert Outcome.FITTED is outcome
    assert np.std(factor * sine()) < 0.05 * 0.03 / np.sqrt(2)

    short = column(data)._replace(wavelength=np.where(np.arange(900) < 50, WAVES, 0))
    back = np.where(np.arange(900) > 500, WAVES - 0.2, WAVES)
    noisy = column(data * sine())._replace(snr=np.full(900, 5.0))
    for given_, asked, expected in (
        (short, rules, Outcome.SHORT),
        (column(data), SliceRules([SEARCH], [1e9], smooth=False), Outcome.FAINT),
        (noisy, rules, Outcome.ABSENT),
        (column(data)._replace(wavelength=back), rules, Outcome.FAILED),
    ):
        factor, outcome = column_factors(given_, asked)
        assert expected is outcome
        assert (factor == 1).all()


def test_a_second_kind_needs_its_own_signal_to_noise() -> None:
    """With too little of it only the first kind is looked for."""
    clean = spectrum() / 40
    data = clean * sine() * sine(1.9, 0.02)
    second = detector_search(1.9, 0.3, 2, 0.001)
    first = SliceRules([detector_search(2.9, 0.3, 2, 0.001), second], [10.0, 1e9], smooth=False)
    both = SliceRules(first.searches, [10.0, 10.0], smooth=False)
    one, two = (
        np.std(column_factors(column(data), rules)[0] * data / clean) for rules in (first, both)
    )
    assert two < 0.8 * one


def test_lines_have_no_weight() -> None:
    """From trough to trough around a peak that is higher than allowed; where nothing is allowed too."""
    signal = 0.01 * np.sin(np.arange(60) * 2 * np.pi / 6)
    signal[28:33] += [0.1, 0.3, 0.6, 0.3, 0.1]
    weights = without_lines(signal, np.full(60, 0.2))
    assert not weights[28:33].any()
    assert weights[:20].all()
    assert weights[40:].all()
    assert without_lines(signal, np.full(60, np.nan)).all()
    alone = np.zeros(9)
    alone[4] = 1  # without a trough on either side
    assert [4] == np.flatnonzero(without_lines(alone, np.full(9, 0.2)) == 0).tolist()


# --- fits ------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(2, 8))
@settings(max_examples=20, deadline=None)
def test_the_strongest_period_is_that_of_the_whole_periodogram(seed: int, strips: int) -> None:
    """A coarse grid misses no peak: astropy looks at all frequencies."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(1.0, 1.12, 500))
    x = np.ascontiguousarray(x[(np.arange(500) // 50) % strips != 1])
    frequencies = 1 / np.linspace(1.9e-3, 3.9e-3, 700)
    y = rng.normal(0, 1, len(x)) + np.sin(2 * np.pi * x * rng.choice(frequencies))
    expected = LombScargle(x, y).power(frequencies, method="cython")
    found = fitting._strongest(x, y, frequencies)
    assert frequencies[np.argmax(expected)] == found


def test_powers_are_those_of_astropy() -> None:
    """Also where each sine follows from the last."""
    rng = np.random.default_rng(8)
    x = np.sort(rng.uniform(1.0, 1.2, 300))
    y = rng.normal(0, 1, 300)
    y -= y.mean()
    frequencies = 200 + 0.7 * np.arange(400)
    expected = LombScargle(x, y).power(frequencies, method="cython", normalization="psd")
    one, other = np.empty(400), np.empty(400)
    powers(x, y, frequencies, one)
    powers_on_grid(x, y, 200.0, 0.7, other)
    np.testing.assert_allclose(2 * expected, one, rtol=1e-8)
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_least_squares_of_sines() -> None:
    """Frequencies and amplitudes; outliers count less if asked; what cannot be solved says so."""
    x = np.linspace(1, 1.2, 800)
    truth = np.array([310.0, 0.02, -0.03, 355.0, 0.01, 0.02])
    y = fitting._sines(x, truth)
    start = np.array([310.2, 1, 1, 354.8, 1, 1.0])
    weights, hessian = np.full(800, 10.0), np.empty((6, 6))

    def fitted(data: Any, domain: float) -> Any:
        found = start.copy()
        for fixed in (True, False):
            status, chi, total = fit_sines(x, data, weights, found, hessian, fixed, domain)
            assert 0 == status
            assert chi >= 0
        assert total <= 8000
        return found

    np.testing.assert_allclose(truth, fitted(y, 0.0), rtol=0.02, atol=5e-4)
    wrong = y.copy()
    wrong[::100] += 5
    robust, plain = (np.abs(fitted(wrong, domain) - truth).max() for domain in (10.0, 0.0))
    assert robust < 0.05
    assert robust < plain / 2
    none = np.zeros(800)
    assert 0 != fit_sines(x, y, none, start.copy(), hessian, fixed=True, domain=0.0)[0]


def test_evidence_grows_by_real_sines_alone() -> None:
    """As many are taken as there are, at most those that are allowed."""
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.003, 900)
    two = sine(2.9) - 1 + sine(2.4, 0.02) - 1
    weights = np.full(900, 1.0)
    for most, expected in ((5, 2), (1, 1)):
        search = detector_search(2.9, 1.0, most, 0.001)
        fit, count = fitting.find_fringes(two + noise, weights, NUMBERS, search)
        assert expected == count
        assert (np.std(fit - two) < 0.002) == (expected == 2)
    nothing = np.zeros(900)
    fit, count = fitting.find_fringes(two, nothing, NUMBERS, SEARCH)
    assert 0 == count
    assert not fit.any()


def test_beats_that_run_away_are_left_out() -> None:
    """From node to node of the envelope."""
    places = np.arange(600)
    beats = np.sin(places * 0.9) * (0.02 + 0.02 * np.sin(places * 2 * np.pi / 200))
    beats[200:400] *= 20
    kept, bad = fitting.without_runaways(beats, np.full(600, 0.3))
    assert not kept[bad].any()
    assert bad[250]
    assert not bad[:100].any()
    np.testing.assert_array_equal(beats[~bad], kept[~bad])
    same, none = fitting.without_runaways(beats, np.full(600, np.nan))
    np.testing.assert_array_equal(beats, same)
    assert not none.any()


def test_envelopes_pass_through_troughs_and_peaks() -> None:
    """And through the ends; with two neighbours small wiggles are none."""
    series = np.sin(np.arange(100) * 0.4)
    low, high = fitting.envelopes(series)
    assert (low <= series + 1e-12).mean() > 0.95
    assert np.median(low[10:-10]) == pytest.approx(-1, abs=0.05)
    assert np.median(high[10:-10]) == pytest.approx(1, abs=0.05)
    series[51] -= 0.4
    one, two = (len(fitting.extremes(series, n).low) for n in (1, 2))
    assert two <= one


def test_backgrounds() -> None:
    """Follow the continuum in both directions, over gaps too; with too few periods there is none."""
    level = 1 + 0.1 * np.sin(WAVES * 5)
    weights = np.ones(900)
    weights[300:330] = fitting.FEW
    for way in (1, -1):
        found = fitting.background((level * sine())[::way], weights[::way], NUMBERS[::way], 2.9)
        assert found is not None
        np.testing.assert_allclose(level[::way][40:-40], found[40:-40], rtol=0.05)
    lines = fitting.background(level, weights, NUMBERS, 1.2)
    assert lines is not None
    np.testing.assert_allclose(level, lines, rtol=0.01)
    assert fitting.background(level[:30], weights[:30], NUMBERS[:30], 2.9) is None
