"""What passes an aperture, between the places and wavelengths of a reference."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.science.spectra.path_loss import Axis, at_place, at_wheel_position
from stpipe.science.spectra.sampling import on_pixels

X, Y = Axis(crpix=3, crval=0.0, cdelt=0.25), Axis(crpix=1, crval=-1.5, cdelt=0.5)


def bilinear(x: float, y: float, wave: int) -> float:
    return 0.5 + 0.1 * x - 0.2 * y + 0.3 * x * y + wave


def planes() -> np.ndarray:
    """A bilinear function at the places of 5 columns and 7 rows, for two wavelengths."""
    x, y = X.values(5), Y.values(7)[:, None]
    return np.stack([bilinear(x, y, n) for n in (0, 1)]).astype(np.float32)


@pytest.mark.parametrize("place", [(-0.5, -1.5), (0.13, -0.7), (0.49, 1.4)])
def test_a_bilinear_loss_is_found_everywhere(place: tuple[float, float]) -> None:
    expected = [bilinear(*place, n) for n in (0, 1)]
    np.testing.assert_allclose(expected, at_place(planes(), (X, Y), place), rtol=1e-6)


@pytest.mark.parametrize("place", [(-0.51, 0.0), (0.5, 0.0), (0.0, -1.51), (0.0, 1.5)])
def test_beyond_the_reference_nothing_is_known(place: tuple[float, float]) -> None:
    assert at_place(planes(), (X, Y), place) is None


def test_pixels_take_the_loss_at_their_wavelength() -> None:
    """Linear between wavelengths; unknown without one, and beyond those of the reference."""
    waves = np.array([[1.0, 1.25, 2.0], [0.99, np.nan, 2.01]])
    found = on_pixels(waves, np.array([1.0, 1.5, 2.0]), np.array([0.8, 0.6, 0.7]))
    np.testing.assert_allclose([[0.8, 0.7, 0.7], [np.nan] * 3], found, rtol=1e-6)


def test_columns_of_the_subarray_at_a_position_of_the_wheel() -> None:
    """Linear between positions; columns that the reference does not have are left as they are."""
    image = np.array([[0.8, 0.9], [0.5, 0.7], [0.4, 0.6]], np.float32)
    positions, columns = Axis(1, 245.0, 0.5), Axis(1, 3.0, 2.0)
    found = at_wheel_position(image, (positions, columns), 245.25, 10)
    assert found is None  # the last position but one is the last that counts
    image = np.column_stack([image, image[:, 1]])
    found = at_wheel_position(image, (positions, columns), 245.25, 10)
    np.testing.assert_allclose([1, 0.85, 0.85, 0.6, 0.6, 0.5, 0.5, 1, 1, 1], found, rtol=1e-6)
    assert at_wheel_position(image, (positions, columns), 244.9, 10) is None
