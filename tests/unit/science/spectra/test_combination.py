"""Several spectra combined to one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe.science.spectra.combination import Spectrum, combined, common_wavelengths
from stpipe.science.spectra.sampling import smoothed

WAVES = np.linspace(1.0, 2.0, 101)


def spectrum(
    wave: np.ndarray, flux: np.ndarray, error: float = 1.0, weight: float = 1.0
) -> Spectrum:
    ones = np.ones(wave.size)
    return Spectrum(
        wavelength=wave,
        flux=flux,
        error=error * ones,
        surf_bright=10 * flux,
        sb_error=10 * error * ones,
        dq=np.zeros(wave.size, np.uint32),
        weight=weight * ones,
        n_input=ones,
    )


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=5), st.booleans())
@settings(deadline=None, max_examples=50)
def test_wavelengths_that_lie_close_together_become_one(shifts: list[float], falling: bool) -> None:
    """As many as each spectrum has, at the means; whichever way wavelengths run."""
    spectra = [WAVES[:: -1 if falling else 1] + 0.01 * shift for shift in shifts]
    found = common_wavelengths(spectra)
    inner = slice(2, -2)
    np.testing.assert_allclose((WAVES + 0.01 * np.mean(shifts))[inner], found[inner], atol=2e-3)
    assert (np.diff(found) > 0).all()


def test_wavelengths_of_one_spectrum_alone() -> None:
    """Where only one reaches, its own wavelengths stay."""
    found = common_wavelengths([WAVES[:60], WAVES[40:]])
    np.testing.assert_array_equal(WAVES, found)


def test_the_mean_by_weights() -> None:
    """Fluxes by weight, errors in quadrature, samples that are not to be used left out."""
    one = spectrum(WAVES, np.full(101, 3.0), 1.0, 2.0)
    other = spectrum(WAVES, np.full(101, 6.0), 2.0, 1.0)
    other.dq[10], other.flux[20], one.dq[30] = 1, np.nan, 4
    found = combined([one, other])
    both = np.ones(101, bool)
    both[[10, 20]] = False
    np.testing.assert_array_equal(np.where(both, 2, 1), found.n_input)
    np.testing.assert_allclose(np.where(both, 4, 3), found.flux)
    np.testing.assert_allclose(np.where(both, 40, 30), found.surf_bright)
    np.testing.assert_allclose(np.where(both, np.sqrt(8) / 3, 1), found.error)
    assert 4 == found.dq[30]
    assert not found.dq[:30].any()


def test_outliers_are_clipped() -> None:
    """A flux far from those of the other spectra does not count."""
    rng = np.random.default_rng(1)
    spectra = [spectrum(WAVES, rng.normal(5, 0.1, 101)) for _ in range(5)]
    spectra[2].flux[50] = 500.0
    assert combined(spectra).flux[50] > 100
    found = combined(spectra, sigma_clip=5)
    assert 4 == found.n_input[50]
    assert pytest.approx(5, abs=0.5) == found.flux[50]


def test_samples_without_a_spectrum_are_left_out() -> None:
    one = spectrum(WAVES, np.ones(101))
    one.dq[40:45] = 1
    assert 96 == combined([one]).wavelength.size


def test_a_running_median() -> None:
    """Spikes go; ends are not drawn towards 0; an even size counts as one less."""
    values = np.full(9, 2.0)
    values[4] = 50.0
    np.testing.assert_array_equal(np.full(9, 2.0), smoothed(values, 3))
    np.testing.assert_array_equal(values, smoothed(values, 2))
    np.testing.assert_array_equal(values, smoothed(values, 1))
