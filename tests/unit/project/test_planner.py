"""Memory of jobs: estimates from the shape of an exposure, beside peaks that were measured."""

from __future__ import annotations

import pytest

from stpipe.core.loading import load
from stpipe.project.planner import INTERPRETER_MB

NIRCAM, MIRI, SERIES = (1, 10, 2048, 2048), (2, 12, 1024, 1032), (20, 8, 256, 2048)

# MB resident at most in the whole process of `strun STEP`.
MEASURED = [
    ("dq_init", NIRCAM, 107),
    ("saturation", NIRCAM, 112),
    ("refpix", NIRCAM, 124),
    ("dark_current", NIRCAM, 154),
    ("jump", NIRCAM, 130),
    ("ramp_fit", NIRCAM, 183),
    ("ramp_fit", (4, 5, 2048, 2048), 156),
    ("reset", MIRI, 107),
    ("refpix", MIRI, 101),
    ("ramp_fit", MIRI, 98),
    ("linearity", SERIES, 119),
    ("jump", SERIES, 148),
    ("jump", (3, 8, 80, 80), 46),
    ("jump", (1280, 8, 32, 32), 119),
]


@pytest.mark.parametrize(("step", "shape", "measured"), MEASURED)
def test_estimates_are_honest(step: str, shape: tuple[int, ...], measured: float) -> None:
    """Within 30 % of what was measured."""
    estimate = 1.1 * (INTERPRETER_MB + load(step)().memory_mb(shape, 0.0))

    assert measured == pytest.approx(estimate, rel=0.3)
