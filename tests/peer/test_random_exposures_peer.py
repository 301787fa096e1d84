"""The detector stage agrees with the peer on strange exposures, reference files and parameters.

Needs PEER_PYTHON.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_exposures

from stpipe import models
from stpipe.pipelines.detector1 import Detector1Pipeline

PEER_PIPELINE = "jwst.pipeline:Detector1Pipeline"


@pytest.mark.parametrize("seed", range(8))
def test_strange_exposures(
    peer_step: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """NaN and zeros in reference files, ramps of few groups, saturation anywhere, zero frames."""
    strange = random_exposures.make(tmp_path, seed)
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "crds"))
    monkeypatch.delenv("CRDS_CONTEXT", raising=False)
    (tmp_path / "peer").mkdir()
    given = {"steps": strange.steps, "save_results": True, "output_dir": str(tmp_path / "peer")}
    peer_step(PEER_PIPELINE, strange.path, **given)
    Detector1Pipeline.call(strange.path, steps=strange.steps, output_dir=str(tmp_path / "ours"))

    expected = sorted(path.name for path in (tmp_path / "peer").glob("*_rate*.fits"))
    assert expected == sorted(path.name for path in (tmp_path / "ours").glob("*_rate*.fits"))
    for name in expected:
        assert_agrees(tmp_path / "peer" / name, tmp_path / "ours" / name, strange.told)


def assert_agrees(expected: Path, actual: Path, told: str) -> None:
    """Flags exactly; floats to float32 rounding of the counts that they were made from."""
    with models.open(expected) as theirs, models.open(actual) as ours:
        for name in theirs.shapes:
            one, other = getattr(theirs, name), getattr(ours, name)
            if one.dtype.kind == "f":
                scale: Any = 1e-6 * np.nanmax(np.abs(one[np.isfinite(one)]), initial=0)
                np.testing.assert_allclose(
                    other, one, rtol=2e-5, atol=scale, equal_nan=True, err_msg=f"{told}: {name}"
                )
            elif one.dtype.names is None:
                np.testing.assert_array_equal(other, one, err_msg=f"{told}: {name}")
