"""`snakemake --cores 8 cal/*.fits` works after any edit of a project, as a shell expands it."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Edit = Callable[["Edited", random.Random], str]
ROUNDS = 10


class Edited:
    """A small project that is edited at random; products are made by touching them."""

    def __init__(self, folder: Path, uncal: Path) -> None:
        self.folder, self.uncal = folder, uncal
        self.config = folder / "config/config.yaml"
        (self.parameters,) = folder.glob("config/*.cfg")

    def inputs(self) -> list[str]:
        return re.findall(r"^- (\S+_uncal\.fits)$", self.config.read_text(), re.MULTILINE)

    def with_inputs(self, names: list[str]) -> None:
        head, _, rest = self.config.read_text().partition("inputs:\n")
        rest = re.sub(r"^- \S+_uncal\.fits\n", "", rest, flags=re.MULTILINE)
        self.config.write_text(f"{head}inputs:\n" + "".join(f"- {n}\n" for n in names) + rest)

    def set(self, step: str, name: str, value: str | None) -> None:
        """Give a parameter of a step a value, or take it away."""
        text = re.sub(rf"(\[\[{step}\]\]\n)  {name} = .*\n", r"\1", self.parameters.read_text())
        line = "" if value is None else f"  {name} = {value}\n"
        self.parameters.write_text(text.replace(f"[[{step}]]\n", f"[[{step}]]\n{line}"))


STEPS = ("dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump")


def skip(project: Edited, rng: random.Random) -> str:
    step = rng.choice(STEPS)
    project.set(step, "skip", "True")
    return f"skip {step}"


def unskip(project: Edited, rng: random.Random) -> str:
    step = rng.choice(STEPS)
    project.set(step, "skip", None)
    return f"do not skip {step}"


def suffix(project: Edited, rng: random.Random) -> str:
    step = rng.choice(STEPS)
    value = rng.choice([None, f"{step}er", "other"])
    project.set(step, "suffix", value)
    return f"suffix of {step}: {value}"


def side(project: Edited, rng: random.Random) -> str:
    value = rng.choice([None, "True"])
    project.set("ramp_fit", "save_opt", value)
    return f"save_opt: {value}"


def remove(project: Edited, rng: random.Random) -> str:
    names = project.inputs()
    if len(names) > 1:
        names.remove(rng.choice(names))
        project.with_inputs(names)
    return f"inputs {names}"


def add(project: Edited, rng: random.Random) -> str:
    name = f"{rng.choice('abcd')}_uncal.fits"
    shutil.copy(project.uncal, project.folder / name)
    project.with_inputs(list(dict.fromkeys([*project.inputs(), name])))
    return f"inputs {project.inputs()}"


def rename(project: Edited, rng: random.Random) -> str:
    old, new = rng.choice(project.inputs()), f"{rng.choice('efg')}_uncal.fits"
    shutil.copy(project.uncal, project.folder / new)
    names = [new if name == old else name for name in project.inputs()]
    project.with_inputs(list(dict.fromkeys(names)))
    return f"{old} is {new} now"


def pipeline(project: Edited, rng: random.Random) -> str:
    name = rng.choice(["calwebb_detector1", "sloper"])
    text = re.sub(
        r"^pipeline: .*$", f"pipeline: {name}", project.config.read_text(), flags=re.MULTILINE
    )
    given = "- config/calwebb_detector1.cfg\n" if name == "calwebb_detector1" else ""
    head = f"parameters:{'' if given else ' []'}\n{given}"
    project.config.write_text(
        re.sub(r"^parameters:.*\n(- config/.*\n)*", head, text, flags=re.MULTILINE)
    )
    return name


def delete(project: Edited, rng: random.Random) -> str:
    made = sorted(project.folder.glob("cal/*.fits"))
    gone = rng.sample(made, min(3, len(made)))
    for path in gone:
        path.unlink()
    return f"deleted {[path.name for path in gone]}"


EDITS: tuple[Edit, ...] = (skip, unskip, suffix, side, remove, add, rename, pipeline, delete)


@pytest.fixture
def project(exposures: list[Path], crds: Path, tmp_path: Path, run: Run) -> Edited:
    del crds
    (nis,) = (path for path in exposures if "_nis_" in path.name)
    shutil.copy(nis, tmp_path / "a_uncal.fits")
    run("stflow", "init", "p", "--pipeline=calwebb_detector1", "a_uncal.fits", cwd=tmp_path)
    edited = Edited(tmp_path / "p", nis)
    shutil.copy(nis, edited.folder / "a_uncal.fits")
    edited.with_inputs(["a_uncal.fits"])
    return edited


@pytest.mark.parametrize("seed", range(2))
def test_the_documented_command_works_after_any_edit(project: Edited, run: Run, seed: int) -> None:
    """Rules change and files are left over; what is asked for is what the project makes now.

    Dry runs: what they would make is put there, so that the next edit meets it.
    """
    rng, done = random.Random(seed), []  # noqa: S311 - which edits, not secrets
    for _ in range(ROUNDS):
        done.append(rng.choice(EDITS)(project, rng))
        run("stflow", "generate", cwd=project.folder)
        words = ["-n", "--cores", "2", *shell_expands(project.folder)]
        try:
            found = run("snakemake", *words, cwd=project.folder)
        except AssertionError as error:
            error.add_note(f"after {done}")
            raise
        for product in outputs(found.stdout + found.stderr):
            (project.folder / product).parent.mkdir(exist_ok=True)
            shutil.copy(project.uncal, project.folder / product)
        for name in project.inputs():
            root = name.removesuffix("_uncal.fits")
            assert list(project.folder.glob(f"cal/{root}_rate.fits")), f"after {done}"


def shell_expands(folder: Path) -> list[str]:
    """`cal/*.fits`, as a shell hands it over: the files, or the pattern where there is none."""
    return sorted(f"cal/{path.name}" for path in folder.glob("cal/*.fits")) or ["cal/*.fits"]


def outputs(text: str) -> Iterator[str]:
    """Products that a dry run would make."""
    for line in re.findall(r"^\s+output: (.*)$", text, re.MULTILINE):
        yield from line.split(", ")
