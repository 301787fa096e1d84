"""The shadow of bars, put together for a slitlet."""

from __future__ import annotations

import numpy as np

from stpipe.science.spectra.bar_shadow import shadow_at, shadow_of

PITCH = 20  # rows
Y = (np.arange(2 * PITCH + 1)[:, None] - PITCH) / PITCH  # pitches from the middle of the shutter
ALONE = np.repeat(np.where(np.abs(Y) < 0.45, 0.9, 0.05), 3, axis=1).astype(np.float32)
BETWEEN = (
    np.array([0.98, 0.95, 0.9]) - 0.3 * np.exp(-0.5 * ((np.abs(Y) - 0.5) / 0.05) ** 2)
).astype(np.float32)


def test_one_shutter_alone() -> None:
    """It is the reference; the upper half comes a row late."""
    shadow = shadow_of(ALONE, BETWEEN, "x")
    np.testing.assert_array_equal(ALONE[:PITCH], shadow[:PITCH])
    np.testing.assert_array_equal(ALONE[PITCH + 2 :], shadow[PITCH + 1 :])


def test_open_neighbours_have_bars_between() -> None:
    """From middle to middle it is the reference of three shutters, as often as there are open ones."""
    shadow = shadow_of(ALONE, BETWEEN, "1x11")
    assert (5 * PITCH, 3) == shadow.shape
    for first in (PITCH, 2 * PITCH, 3 * PITCH):
        inner = slice(first + 1, first + PITCH)
        np.testing.assert_allclose(BETWEEN[1:PITCH], shadow[inner], rtol=1e-6)


def test_closed_shutters_are_dark() -> None:
    """Light falls off towards a closed shutter, is dark between two, and comes back."""
    shadow = shadow_of(ALONE, BETWEEN, "x001")
    falling, dark, rising = (slice(n * PITCH + 1, (n + 1) * PITCH) for n in (1, 2, 3))
    np.testing.assert_array_equal(ALONE[PITCH + 1 : -1], shadow[falling])
    np.testing.assert_array_equal(np.full((PITCH - 1, 3), np.float32(0.05)), shadow[dark])
    np.testing.assert_array_equal(ALONE[1:PITCH], shadow[rising])


def test_places_between_samples() -> None:
    """Bilinear, the ends beyond the ends, and unknown where the place is."""
    shadow = np.array([[0.0, 1.0], [2.0, 3.0]])
    rows, columns = np.array([0.5, -3.0, 1.0, np.nan]), np.array([0.5, 0.0, 7.0, 0.0])
    np.testing.assert_allclose([1.5, 0.0, 3.0, np.nan], shadow_at(shadow, rows, columns))
