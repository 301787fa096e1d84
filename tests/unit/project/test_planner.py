"""Memory of jobs: estimates from the shape of an exposure, beside peaks that were measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stpipe.core.loading import load
from stpipe.project.planner import INTERPRETER_MB, _mem_mb

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


def test_a_job_asks_for_what_its_exposure_needs(tmp_path: Path) -> None:
    """By the shape in the header and the size of the file in MB; steps of a job share most of it."""
    asked: list[tuple[tuple[int, ...], float]] = []

    def memory_mb(shape: tuple[int, ...], file_mb: float) -> float:
        asked.append((shape, file_mb))
        return 100.0 * len(asked)

    sizes = {"exposure.nints": 2, "exposure.ngroups": 5, "subarray.ysize": 64, "subarray.xsize": 32}
    (tmp_path / "x_uncal.fits").write_bytes(bytes(3_000_000))
    member = SimpleNamespace(
        metadata={f"meta.{name}": size for name, size in sizes.items()},
        origin=tmp_path / "x_uncal.fits",
    )
    graph: Any = SimpleNamespace(members=[member])
    steps: Any = [SimpleNamespace(memory_mb=memory_mb)] * 2

    alone = _mem_mb(graph, steps[:1])
    assert int(1.1 * (INTERPRETER_MB + 100)) == alone
    assert alone + 200 < _mem_mb(graph, steps) < alone + 300
    assert [((2, 5, 64, 32), 3.0)] * 3 == asked
