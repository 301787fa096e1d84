"""What a user meets late or from the system is a sentence with its exit code, as early as can be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

from stpipe.cli.stflow import main as stflow
from stpipe.cli.strun.main import main as strun

Output = pytest.CaptureFixture[str]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.usefixtures("crds")


@pytest.fixture(scope="module")
def niriss(exposures: list[Path]) -> Path:
    return next(path for path in exposures if "_nis_" in path.name)


@pytest.fixture(scope="module")
def project(niriss: Path, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project before its first run."""
    folder = tmp_path_factory.mktemp("late") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        words = ["init", str(folder), "--pipeline=calwebb_detector1", str(niriss)]
        assert 0 == stflow.main(words)
    return folder


def test_targets_that_nothing_makes(project: Path, capsys: Output) -> None:
    """Exit code 2 and the nearest product; of a side product also what would make it."""
    for command in ("why", "run"):
        wrong = f"cal/{_root(project)}_dq_ini.fits"
        words = [command, "--directory", str(project), wrong]
        assert 2 == stflow.main(words)
        error = capsys.readouterr().err
        assert f'no rule makes {wrong} (did you mean "cal/{_root(project)}_dq_init.fits"?)' in error
        assert "Exception" not in error
    side = f"cal/{_root(project)}_fitopt.fits"
    assert 2 == stflow.main(["why", "--directory", str(project), side])
    assert "when a parameter asks for them" in capsys.readouterr().err


def _root(project: Path) -> str:
    (line,) = (
        line
        for line in (project / "config/config.yaml").read_text().splitlines()
        if "_uncal" in line
    )
    return Path(line.strip("- ")).name.removesuffix("_uncal.fits")


@pytest.mark.parametrize("more", [[], ["--unlock"]], ids=["run", "unlock"])
def test_a_home_that_cannot_be_written(project: Path, more: list[str]) -> None:
    """Snakemake keeps copies of workflows there; its traceback does not reach the user."""
    where = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"} | {"HOME": os.devnull}
    words = ["stflow", "run", "--directory", str(project), *more]
    done = subprocess.run(words, env=where, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert "cannot write /dev/null/.cache: Not a directory" in done.stderr
    assert "XDG_CACHE_HOME" in done.stderr
    assert 'File "' not in done.stderr


def test_a_log_without_room_does_not_stop_a_run(niriss: Path, tmp_path: Path, run: Run) -> None:
    """It is said once; the product is there."""
    words = ["strun", "dq_init", niriss, "--log-file=/dev/full", "--log-stream=null"]
    done = run(*words, cwd=tmp_path)
    assert 1 == done.stderr.count("the log file /dev/full cannot be written: No space left")
    assert "Traceback" not in done.stderr
    assert 1 == len(list(tmp_path.glob("*_dq_init.fits")))


def test_a_folder_that_cannot_be_made(niriss: Path, capsys: Output) -> None:
    words = ["init", "/dev/null/p", "--pipeline=calwebb_detector1", str(niriss)]
    assert 1 == stflow.main(words)
    error = capsys.readouterr().err
    assert "/dev/null/p: Not a directory; check the path" in error
    assert "Error" not in error


def test_names_that_no_disk_takes(niriss: Path, tmp_path: Path, capsys: Output) -> None:
    """An exposure's name may be legal, and that of its product not."""
    source = tmp_path / f"{'a' * 245}.fits"
    shutil.copy(niriss, source)
    assert 2 == strun(["dq_init", str(source), f"--output_dir={tmp_path}"])
    assert "would have a name of 258 bytes, allowed: 255" in capsys.readouterr().err


WRONG = {
    "calwebb_image2": "a Level1bModel, allowed: ImageModel or CubeModel",
    "ramp_fit": None,
    "photom": "a Level1bModel, allowed: ImageModel",
}


@pytest.mark.parametrize("target", WRONG)
def test_planning_refuses_what_the_run_would_refuse(
    target: str, niriss: Path, tmp_path: Path, capsys: Output
) -> None:
    """The model, and the header, of what is given; raw exposures may be read as ramps."""
    wrong = WRONG[target]
    assert (3 if wrong else 0) == strun([target, str(niriss), "--dry-run"])
    error = capsys.readouterr().err
    assert not wrong or wrong in error
    if wrong:
        assert 3 == stflow.main(["init", str(tmp_path / "p"), f"--pipeline={target}", str(niriss)])
        assert not (tmp_path / "p").exists()
        return
    with fits.open(niriss) as hdus:
        hdus[0].header["TGROUP"] = -1.0
        hdus.writeto(tmp_path / "x_uncal.fits")
    assert 3 == strun([target, str(tmp_path / "x_uncal.fits"), "--dry-run"])
    assert "TGROUP (meta.exposure.group_time) is -1.0" in capsys.readouterr().err
