"""Products that parameters ask for: rules know them, they lie in cal/, lost ones are rebuilt."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.steps import RampFitStep

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SNAKEMAKE = ("snakemake", "--cores", "2")
ASKED = ("--steps.ramp_fit.save_opt=true", "--steps.dark_current.dark_output=mine.fits")


@pytest.fixture
def project(exposures: list[Path], crds: Path, tmp_path: Path, run: Run) -> Path:
    """A project of one exposure, of which the segments of the fit and the dark are wanted."""
    del crds
    (nis,) = (path for path in exposures if "_nis_" in path.name)
    run("stflow", "init", "p", "--pipeline=calwebb_detector1", nis, *ASKED, cwd=tmp_path)
    return tmp_path / "p"


def test_rules_make_them_and_rebuild_them(project: Path, run: Run) -> None:
    run(*SNAKEMAKE, "cal/*.fits", cwd=project)
    (fitopt,), (dark,) = project.glob("cal/*_fitopt.fits"), project.glob("cal/*_dark.fits")

    # A parameter that names one file cannot name those of all exposures.
    assert not list(project.glob("**/mine.fits"))
    for path, step in ((fitopt, "ramp_fit"), (dark, "dark_current")):
        with models.open(path) as product:
            assert step == product.provenance[-1]["step"]
            assert path.stem.rpartition("_")[2] == product.provenance[-1]["suffix"]
    assert "0 of" not in run("stflow", "verify", cwd=project).stdout

    fitopt.unlink()
    why = run("stflow", "why", f"cal/{fitopt.name}", cwd=project).stdout
    assert f"ramp_fit: cal/{fitopt.name} is missing." in why
    run("snakemake", "--cores", "2", cwd=project)
    assert fitopt.is_file()
    assert "Nothing to be done" in run("snakemake", "--cores", "2", cwd=project).stderr


def test_what_an_exposure_does_not_get_says_so(project: Path, run: Run) -> None:
    """Exposures of one rule may differ: a file that is not made says that there is nothing."""
    config = next(project.glob("config/*.cfg"))
    text = config.read_text()
    assert "save_opt = true" in text
    config.write_text(text.replace("save_opt = true", "save_opt = true\nalgorithm = LIKELY", 1))
    run(*SNAKEMAKE, cwd=project)

    (chisq,) = project.glob("cal/*_likely_chisq.fits")
    with models.open(chisq) as product:
        assert isinstance(product, models.ImageModel)
        assert np.isfinite(product.data).any()
    assert not list(project.glob("cal/*_fitopt.fits"))

    jobs = project.glob(".stflow/jobs/ramp_fit-*.cfg")
    job = next(path for path in jobs if "LIKELY" in path.read_text())
    (jump,) = project.glob("cal/*_jump.fits")
    ends = "--side-products=likely_chisq.fits,fitopt.fits"
    run("strun", job, jump, ends, "--output_file=out/x_rate.fits", cwd=project)
    assert "NothingModel" == models.open_metadata(project / "out/x_fitopt.fits").model_type
    assert "ImageModel" == models.open_metadata(project / "out/x_likely_chisq.fits").model_type


def test_alone_they_lie_beside_the_product(
    exposures: list[Path], crds: Path, tmp_path: Path
) -> None:
    """Nobody asked for the product itself; the side product is written all the same, once."""
    del crds
    (nis,) = (path for path in exposures if "_nis_" in path.name)
    made = RampFitStep.call(nis, save_opt=True, output_dir=str(tmp_path / "out"))

    assert ("rate", "rateints") == made.names
    assert [
        f"{nis.name.removesuffix('_uncal.fits')}_{s}.fits" for s in ("fitopt", "rate", "rateints")
    ] == sorted(path.name for path in (tmp_path / "out").iterdir())
