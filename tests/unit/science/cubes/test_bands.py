"""Which bands go into which cube, and what the cubes are called."""

from __future__ import annotations

from typing import Any

import pytest

from stpipe.errors import InputError
from stpipe.science.cubes.bands import Choice, bands_of, cubes_of


def header(**instrument: str) -> dict[str, Any]:
    """Metadata by dotted name."""
    return {f"meta.instrument.{name}": value for name, value in instrument.items()}


def test_an_exposure_of_miri_has_a_band_for_each_channel() -> None:
    """Of NIRSpec it is one; names are in small letters."""
    miri = header(name="MIRI", channel="12", band="SHORT-MEDIUM")
    assert bands_of(miri) == [("1", "short-medium"), ("2", "short-medium")]
    assert bands_of(header(name="NIRSPEC", grating="PRISM", filter="CLEAR")) == [("prism", "clear")]
    with pytest.raises(InputError, match="CHANNEL is ANY and BAND is SHORT"):
        bands_of(header(name="MIRI", channel="ANY", band="SHORT"))


@pytest.mark.parametrize(
    ("output_type", "expected"),
    [
        ("band", ["ch1-short", "ch1-medium", "ch1-long", "ch2-short"]),
        ("channel", ["ch1-shortmediumlong", "ch2-short"]),
        ("multi", ["ch1-2-shortmediumlong"]),
    ],
)
def test_cubes_of_miri(output_type: str, expected: list[str]) -> None:
    """Each band, all of a channel, or all."""
    bands = [("2", "short"), ("1", "long"), ("1", "short"), ("1", "medium"), ("1", "short")]
    assert list(cubes_of(bands, output_type)) == expected


def test_cubes_of_nirspec() -> None:
    """By filter, then by grating; together their names stand beside each other."""
    bands = [("prism", "clear"), ("g140m", "f100lp"), ("g140h", "f100lp")]
    assert list(cubes_of(bands, "band")) == ["g140m-f100lp", "g140h-f100lp", "prism-clear"]
    assert list(cubes_of(bands, "multi")) == ["g140m-f100lp-g140h-f100lp-prism-clear"]
    assert cubes_of([], "multi") == {}


def test_bands_are_chosen() -> None:
    """Nothing named means all."""
    assert Choice().takes(("1", "short"))
    assert Choice(("1",)).takes(("1", "short"))
    assert not Choice(("1",), ("long",)).takes(("1", "short"))
