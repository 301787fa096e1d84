"""Drawings of spectra."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from stpipe.models.views import Curve
from stpipe.project.report.curves import spectrum


def curve(size: int, **changed: Any) -> Curve:
    """A rising spectrum."""
    values: dict[str, Any] = {
        "label": "<S200A1>",
        "wavelength": np.linspace(1, 2, size),
        "value": np.linspace(10, 20, size),
        "error": np.full(size, 0.5),
        "flagged": np.zeros(size, bool),
    }
    return Curve(**{**values, **changed}, unit="Jy", quantity="FLUX")


def points(text: str) -> Any:
    """Places of the line."""
    path = re.search(r'class="line" d="M([^"]*)"', text)
    assert path
    return np.array([pair.split() for pair in path[1].split("L")], float)


def test_a_line_rises_from_left_to_right() -> None:
    """In the whole width; the name is no markup."""
    text = spectrum(curve(50))

    x, y = points(text).T
    assert (0, 640) == (x[0], x[-1])
    assert (np.diff(y) <= 0).all()
    assert "&lt;S200A1&gt;" in text
    assert "<S200A1>" not in text
    assert "1 um" in text


def test_long_spectra_are_means_of_neighbours() -> None:
    """Not more points than can be seen; all of the range."""
    found = points(spectrum(curve(10_000)))

    assert len(found) <= 640
    assert (0, 640) == (found[0, 0], found[-1, 0])


def test_flagged_values_are_left_out_and_counted() -> None:
    """A glitch does not set the scale."""
    flagged = np.zeros(50, bool)
    flagged[7] = True
    value = np.linspace(10, 20, 50)
    value[7] = 1e6
    value[9] = np.nan

    text = spectrum(curve(50, value=value, flagged=flagged, error=np.full(50, np.nan)))

    assert "1 flagged" in text
    assert 48 == len(points(text))
    assert "nan" not in text


def test_without_good_values_there_is_no_line() -> None:
    """But a sentence."""
    assert "no wavelengths have a good value" in spectrum(curve(5, flagged=np.ones(5, bool)))
