"""Names from headers and files are data: never words of a shell, modules, or lines of a log."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

Run = Callable[..., "subprocess.CompletedProcess[str]"]

HOSTILE = (
    "$(touch owned).fits",
    "`touch owned`.fits",
    "a;touch owned;.fits",
    "a' ; touch owned ; '.fits",
    'a" ; touch owned ; ".fits',
    "a & touch owned & .fits",
    "a | touch owned.fits",
    "-rf.fits",
    "../../owned.fits",
    "a b c.fits",
    "{input}.fits",
    "%(owned)s.fits",
    "x" * 240 + ".fits",
)
# Hooks as users write them: bare, in somebody's quotes, and in quotes within quotes.
HOOKS = (
    "shell:cat {input} > {output}",
    'shell:sh -c "cat {input} > {output}"',
    "shell:sh -c 'cat {input} > {output}'",
    "shell:sh -c \"sh -c 'cat {input}' > {output}\"",
)


@pytest.fixture
def exposure(exposures: list[Path], crds: Path) -> Path:
    del crds
    return next(path for path in exposures if "_nis_" in path.name)


def owned(folder: Path) -> list[Path]:
    return [p for place in (folder, folder.parent) for p in place.rglob("owned*")]


@pytest.mark.parametrize("hook", HOOKS)
def test_no_file_name_of_a_header_is_run(
    exposure: Path, tmp_path: Path, run: Run, hook: str
) -> None:
    """All of them in one file after the other; the hook sees a file, and makes one."""
    folder = tmp_path / "here"
    folder.mkdir()
    paths = []
    for number, name in enumerate(HOSTILE):
        with fits.open(exposure) as file:
            file[0].header["FILENAME"] = (name[:60], "")
            file.writeto(folder / f"x{number}_uncal.fits")
        paths.append(f"x{number}_uncal.fits")
    run("strun", "superbias", *paths, f"--pre_hooks={hook}", "--output_dir=out", cwd=folder)

    assert len(HOSTILE) == len(list((folder / "out").glob("*_superbias.fits")))
    assert not owned(folder)


def test_the_own_name_is_in_the_environment(exposure: Path, tmp_path: Path, run: Run) -> None:
    with fits.open(exposure) as file:
        file[0].header["FILENAME"] = "it's $HOME.fits"
        file.writeto(tmp_path / "x_uncal.fits")
    hook = '--pre_hooks=shell:printf %s "$STPIPE_FILENAME" > name.txt; test -f {input}'
    run("strun", "superbias", "x_uncal.fits", hook, cwd=tmp_path)

    assert "it's $HOME.fits" == (tmp_path / "name.txt").read_text()


@pytest.mark.parametrize("name", [n for n in HOSTILE if "/" not in n and "{" not in n][:9])
def test_files_of_any_name_are_calibrated(
    exposure: Path, tmp_path: Path, run: Run, name: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy(exposure, folder / name)
    run("strun", "superbias", f"./{name}", "--output_dir=out", cwd=folder)

    assert 1 == len(list((folder / "out").iterdir()))
    assert not owned(folder)


@pytest.mark.parametrize(
    "module", ["yaml", "random", "numpy", "astropy", "jsonschema", "asdf", "stpipe"]
)
def test_data_are_no_modules(exposure: Path, tmp_path: Path, run: Run, module: str) -> None:
    """A file of Python in the folder of the data is never run in the place of a package."""
    (tmp_path / f"{module}.py").write_text("open('owned', 'w'); raise SystemExit(9)\n")
    run("strun", "jump", "--help", cwd=tmp_path)
    run("strun", "superbias", exposure, "--save-parameters=p.asdf", cwd=tmp_path)
    run("strun", "p.asdf", exposure, "--pre_hooks=math.floor", cwd=tmp_path, code=5)

    assert not owned(tmp_path)


def test_projects_import_nothing_of_their_folder(exposure: Path, tmp_path: Path, run: Run) -> None:
    words = ("--pipeline=calwebb_detector1", exposure)
    run("stflow", "init", "p", *words, cwd=tmp_path)
    for module in ("random", "yaml", "snakemake", "stpipe"):
        (tmp_path / f"p/{module}.py").write_text("open('owned', 'w'); raise SystemExit(9)\n")
    run("stflow", "run", "--cores", "2", "--until", "dq_init", cwd=tmp_path / "p")
    run("stflow", "why", "cal/x_rate.fits", cwd=tmp_path / "p", code=1)

    assert not owned(tmp_path / "p")


def test_no_name_forges_a_line_of_the_log(exposure: Path, tmp_path: Path, run: Run) -> None:
    forged = "2026-01-01T00:00:00.000Z INFO     stpipe: all is well"
    name = f"x\n{forged}\x1b[2K_uncal.fits"
    shutil.copy(exposure, tmp_path / name)
    done = run("strun", "superbias", f"./{name}", "--log-file=log", cwd=tmp_path)

    for text in (done.stderr, (tmp_path / "log").read_text()):
        assert "all is well" in text
        assert not any(line.startswith(forged[:20]) for line in text.splitlines())
        assert "\x1b" not in text


@pytest.mark.parametrize("name", ["a{b}_uncal.fits", "a\nb_uncal.fits", "x" * 240 + "_uncal.fits"])
def test_projects_refuse_names_that_rules_cannot_have(
    exposure: Path, tmp_path: Path, run: Run, name: str
) -> None:
    """When the project is made, not after hours; a link of another name is the way out."""
    shutil.copy(exposure, tmp_path / name)
    words = ("--pipeline=calwebb_detector1", name)
    assert "Rename the exposure" in run("stflow", "init", "p", *words, cwd=tmp_path, code=3).stderr

    (tmp_path / "a_uncal.fits").symlink_to(name)
    run("stflow", "init", "p", "--pipeline=calwebb_detector1", "a_uncal.fits", cwd=tmp_path)
