"""Sources of several exposures: planned from headers, or counted when exposures have been cut."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import dithered_slits
import numpy as np
import pytest
import stars_in_slits

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The association of three calibrated exposures, and parameters."""
    monkeypatch.delenv("CRDS_PATH", raising=False)
    asn = dithered_slits.write(tmp_path)
    aperture = stars_in_slits.extract1d(tmp_path / "extract1d.json", use_source_posn=False)
    extraction = [f"override_extract1d={aperture}", "apply_apcorr=False"]
    return [str(asn), *(f"--steps.extract_1d.{parameter}" for parameter in extraction)]


def test_every_source_has_jobs_of_its_own(run: Run, tmp_path: Path, words: list[str]) -> None:
    """Known before anything runs; the products are those that are made in memory."""
    run("stflow", "init", "p", "--pipeline=calwebb_spec3", *words, cwd=tmp_path)
    folder = tmp_path / "p"
    plan = run("snakemake", "-n", "--cores", "2", "cal/*.fits", cwd=folder).stdout
    assert "checkpoint" not in plan
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=folder)
    (tmp_path / "memory").mkdir()
    run("strun", "calwebb_spec3", *words, cwd=tmp_path / "memory")

    made = sorted((tmp_path / "memory").glob("*.fits"))
    assert 8 == len(made)
    for path in made:
        (other,) = folder.glob(f"cal/**/{path.name}")
        with models.open(path) as expected, models.open(other) as found:
            same(expected, found)
            steps = [[(r["step"], r.get("part")) for r in m.provenance] for m in (expected, found)]
            assert steps[0] == steps[1]


def same(expected: models.DataModel, found: models.DataModel) -> None:
    """The same arrays, those of parts included."""
    for name in expected.shapes:
        np.testing.assert_array_equal(getattr(expected, name), getattr(found, name))
    for path in expected.schema.lists:
        parts = (getattr(model, path) for model in (expected, found))
        for one, other in zip(*parts, strict=True):
            same(one, other)
