"""The checkout itself is a workflow."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe.core.loading import load
from stpipe.project.snakefile import of_pipeline, snakefile
from stpipe.system import package_data

Run = Callable[..., "subprocess.CompletedProcess[str]"]
NAME = "calwebb_detector1"


def test_the_shipped_snakefile_is_the_generated_one() -> None:
    """Nobody edits it by hand: it follows from the pipeline."""
    shipped = (package_data.folder("workflow") / "Snakefile").read_text()

    assert snakefile(NAME, of_pipeline(load(NAME))) == shipped


@pytest.mark.usefixtures("crds")
def test_the_shipped_workflow_runs(run: Run, exposures: list[Path], tmp_path: Path) -> None:
    """As deployed: exposures on the command line, products in cal/."""
    for name in ("workflow", "config"):
        shutil.copytree(package_data.folder(name), tmp_path / name)
    folder = exposures[0].parent

    words = ["--config", f"inputs=[{folder}/*nis*_uncal.fits]"]
    run("snakemake", "--cores", "2", "cal/*.fits", *words, cwd=tmp_path)

    assert 2 == len(list(tmp_path.glob("cal/*_rate*.fits")))
    again = run("snakemake", "--cores", "2", *words, cwd=tmp_path)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_without_exposures_it_says_so(run: Run, tmp_path: Path) -> None:
    """Not an error: there is nothing to do yet."""
    for name in ("workflow", "config"):
        shutil.copytree(package_data.folder(name), tmp_path / name)

    done = run("snakemake", "--cores", "1", cwd=tmp_path)

    assert "config/config.yaml lists no exposures" in done.stderr
