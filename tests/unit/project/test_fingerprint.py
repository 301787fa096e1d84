"""Which code decides the pixels of a step."""

from __future__ import annotations

from pathlib import Path

import pytest

import stpipe
from stpipe.core.loading import load
from stpipe.project import fingerprint
from stpipe.registry import STEPS


def test_a_step_counts_arithmetic_and_nothing_of_the_framework() -> None:
    """Only what decides pixels causes a rebuild: a progress bar does not."""
    home = Path(stpipe.__file__).parent
    arithmetic = ("steps", "science", "pipelines")
    framework = {p for p in home.rglob("*.py") if p.relative_to(home).parts[0] not in arithmetic}

    for alias in STEPS:
        assert not framework & set(fingerprint.source_files(load(alias)))


@pytest.mark.parametrize(
    ("module", "users"),
    [
        ("steps/stage2/extract_1d/source_position.py", {"extract_1d"}),
        ("steps/stage1/jump/large_events.py", {"jump"}),
        ("steps/stage1/jump/_kernels.pyx", {"jump"}),
        ("science/mosaics/headers.py", {"resample", "resample_spec", "cube_build"}),
        ("science/spectra/box_extraction.py", {"extract_1d"}),
        ("science/ramps/_fitting.pyx", {"ramp_fit", "clean_flicker_noise", "picture_frame"}),
        (
            "science/sorting_network.pxd",
            {"jump", "ramp_fit", "clean_flicker_noise", "picture_frame"},
        ),
    ],
)
def test_arithmetic_counts_for_exactly_the_steps_that_use_it(module: str, users: set[str]) -> None:
    file = Path(stpipe.__file__).parent / module
    counting = {alias for alias in STEPS if file in fingerprint.source_files(load(alias))}

    assert users == counting
