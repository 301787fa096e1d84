"""Spectra of NIRSpec from raw ramps to the last product, by the commands of a user."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(("mode", "kept", "count"), [("mos", "products", 4), ("bots", "all", 2)])
def test_a_project_finds_the_true_spectra(
    run: Callable[..., object],
    nirspec_folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    mode: str,
    kept: str,
    count: int,
) -> None:
    """In few jobs, which hand slits over in memory, and in many, which hand them over in files.

    The metafile of the shutters lies beside the raw exposure, not among the products.
    """
    shutil.copytree(nirspec_folder(mode), tmp_path / "demo")
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "demo/crds"))
    uncal = sorted((tmp_path / "demo/uncal").glob("*_uncal.fits"))
    pipelines = ("--pipeline=calwebb_detector1", "--pipeline=calwebb_spec2")
    run("stflow", "init", "demo", *pipelines, *uncal, cwd=tmp_path)
    with (tmp_path / "demo/config/config.yaml").open("a") as config:
        config.write(f"keep: {kept}\n")
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "demo")

    out = run("python", "-m", "stpipe.demo.compare", "demo", cwd=tmp_path)
    assert f"{count} comparisons, unbiased within errors" in out.stdout  # type: ignore[attr-defined]
    again = run("snakemake", "-n", "--cores", "2", "cal/*.fits", cwd=tmp_path / "demo")
    assert "Nothing to be done" in again.stdout  # type: ignore[attr-defined]
