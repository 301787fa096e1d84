"""Content decides whether an input, a parameter file or a reference is the same as before."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SNAKEMAKE = ("snakemake", "--cores", "2")
NOTHING = "Nothing to be done"


@pytest.fixture
def project(exposures: list[Path], crds: Path, tmp_path: Path, run: Run) -> Path:
    """A project of one exposure of its own and its own reference files, which has run."""
    (nis,) = (path for path in exposures if "_nis_" in path.name)
    shutil.copy(nis, tmp_path / "x_uncal.fits")
    mask = next(crds.rglob("jwst_niriss_mask_0001.fits"))
    shutil.copy(mask, tmp_path / "mask.fits")
    words = (
        "--pipeline=calwebb_detector1",
        "x_uncal.fits",
        f"--override_mask={tmp_path}/mask.fits",
    )
    run("stflow", "init", "p", *words, cwd=tmp_path)
    run(*SNAKEMAKE, cwd=tmp_path / "p")
    return tmp_path / "p"


def edited(path: Path, name: str) -> None:
    """Change a pixel and put the file back with the times that it had, as `cp -p` does."""
    times = path.stat()
    with models.open(path) as model:
        values = getattr(model, name).copy()
        values.reshape(-1)[values.size // 2] += 1
        setattr(model, name, values)
        model.save(path.with_name("other.fits"))
    path.with_name("other.fits").replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns - 10**12))


def again(project: Path, run: Run) -> list[str]:
    """Rules that run."""
    text = run(*SNAKEMAKE, cwd=project).stderr
    return [
        line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("localrule")
    ]


def test_an_older_input_with_other_content_is_seen(project: Path, run: Run) -> None:
    uncal = project.parent / "x_uncal.fits"
    before = uncal.read_bytes()
    times = uncal.stat()
    edited(uncal, "data")
    product = "cal/x_rate.fits"

    assert "the content of its input ../x_uncal.fits changed" in (
        run("stflow", "why", product, cwd=project).stdout
    )
    assert (
        "../x_uncal.fits: its content is not" in run("stflow", "verify", cwd=project, code=1).stdout
    )
    assert "dq_init" in again(project, run)
    assert NOTHING in run(*SNAKEMAKE, cwd=project).stderr
    assert "up to date" in run("stflow", "why", product, cwd=project).stdout
    run("stflow", "verify", cwd=project)

    # The first content comes back, under the same time.
    uncal.write_bytes(before)
    os.utime(uncal, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "dq_init" in again(project, run)
    assert NOTHING in run(*SNAKEMAKE, cwd=project).stderr


def test_a_copy_of_the_same_content_reruns_nothing(project: Path, run: Run) -> None:
    """A project that moves to another disk: all change times differ, no content does."""
    uncal = project.parent / "x_uncal.fits"
    copy = shutil.copy2(uncal, uncal.with_name("copy.fits"))
    Path(copy).replace(uncal)

    assert NOTHING in run(*SNAKEMAKE, cwd=project).stderr


def test_an_older_reference_with_other_content_is_seen(project: Path, run: Run) -> None:
    edited(project.parent / "mask.fits", "dq")

    assert "mask.fits changed" in run("stflow", "why", "cal/x_rate.fits", cwd=project).stdout
    assert "dq_init" in again(project, run)
    assert NOTHING in run(*SNAKEMAKE, cwd=project).stderr


def test_an_older_parameter_file_with_other_content_is_seen(project: Path, run: Run) -> None:
    config = next(project.glob("config/*.cfg"))
    times, text = config.stat(), config.read_text()
    line = "# rejection_threshold = 4.0"
    assert line in text
    config.write_text(text.replace(line, "  rejection_threshold = 9.0", 1))
    os.utime(config, ns=(times.st_atime_ns, times.st_mtime_ns - 10**12))

    assert config.stat().st_size == times.st_size
    assert "jump" in again(project, run)


def test_links_keep_the_names_that_were_given(
    exposures: list[Path], crds: Path, tmp_path: Path, run: Run
) -> None:
    """As git-annex and DVC store files; two links to one file are two exposures."""
    del crds
    (nis,) = (path for path in exposures if "_nis_" in path.name)
    (tmp_path / "store").mkdir()
    shutil.copy(nis, tmp_path / "store/MD5E-s1--0123.fits")
    for name in ("a_uncal.fits", "b_uncal.fits"):
        (tmp_path / name).symlink_to("store/MD5E-s1--0123.fits")
    words = ("--pipeline=calwebb_detector1", "a_uncal.fits", "b_uncal.fits")
    run("stflow", "init", "p", *words, cwd=tmp_path)
    run(*SNAKEMAKE, "cal/*.fits", cwd=tmp_path / "p")

    made = {path.name for path in (tmp_path / "p/cal").glob("*_rate.fits")}
    assert {"a_rate.fits", "b_rate.fits"} == made
