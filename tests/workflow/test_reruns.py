"""Rerun exactly what changed: four causes, each in several steps, and back again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Change = Callable[[Path], Callable[[], None]]  # makes a change, returns what takes it back

ALL = ("dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump")
STEPS = '''
"""One step of a pipeline of one's own."""
import numpy as np

from stpipe import Step
{extra}

class {name}(Step):
    """{name} adds a number."""
    alias = suffix = "{suffix}"

    def process(self, image):
        image.data = image.data + np.float32({number})  # as it is
        return image
'''
PIPELINE = '''
"""Three steps in files of their own."""
from first import FirstStep
from second import SecondStep
from stpipe import Pipeline
from third import ThirdStep


class OwnPipeline(Pipeline):
    """Three steps."""
    step_defs = {"first": FirstStep, "second": SecondStep, "third": ThirdStep}

    def process(self, image):
        return self.third(self.second(self.first(image)))
'''


def planned(run: Run, folder: Path) -> set[str]:
    """Rules of a dry run; those of the other exposure say so."""
    text = run("snakemake", "-n", "--cores", "2", "cal", cwd=folder).stdout
    jobs = re.findall(r"rule (\w+):\n.*?wildcards: root=(\S+)\n", text, re.DOTALL)
    return {rule if root == "one" else f"{rule}:{root}" for rule, root in jobs}


@pytest.fixture(scope="module")
def made(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a cache of its own, two exposures and a finished project of them."""
    home = tmp_path_factory.mktemp("reruns")
    shutil.copytree(demo_folder / "crds", home / "crds")
    source = next(e for e in exposures if "nis" in e.name)
    for name in ("one", "other"):
        shutil.copyfile(source, home / f"{name}_uncal.fits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(home / "crds"))
        words = ["one_uncal.fits", "other_uncal.fits"]
        run("stflow", "init", "p", "--pipeline=calwebb_detector1", *words, cwd=home)
        run("snakemake", "--cores", "2", "cal", cwd=home / "p")
    return home


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project; every test takes back what it changes."""
    monkeypatch.setenv("CRDS_PATH", str(made / "crds"))
    return made / "p"


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> Callable[[], None]:
    """Give a file other content; how to put the old one back."""
    before = path.read_bytes()
    path.write_bytes(change(before))
    return partial(_write, path, before)


def _write(path: Path, text: bytes) -> None:
    path.write_bytes(text)


def flipped(content: bytes) -> bytes:
    """The same with another last byte of data, which stands before the padding."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def pixels(folder: Path) -> Callable[[], None]:
    path = folder.parent / "one_uncal.fits"
    before = path.read_bytes()
    with models.open(path) as raw:
        raw.data = np.array(raw.data) + np.uint16(1)
        raw.save(path)
    return partial(_write, path, before)


def parameter(step: str, line: str) -> Change:
    def change(folder: Path) -> Callable[[], None]:
        path = folder / "config/calwebb_detector1.cfg"
        mark = f"[[{step}]]\n"
        return rewritten(path, lambda b: b.replace(mark.encode(), f"{mark}{line}\n".encode()))

    return change


def content(kind: str) -> Change:
    """Other bytes in the reference file that CRDS selects."""

    def change(folder: Path) -> Callable[[], None]:
        (path,) = (folder.parent / "crds").rglob(f"jwst_niriss_{kind}_0001.fits")
        return rewritten(path, flipped)

    return change


def another(kind: str) -> Change:
    """Another reference file, with the same content or not."""

    def change(folder: Path) -> Callable[[], None]:
        (path,) = (folder.parent / "crds").rglob(f"jwst_niriss_{kind}_0001.fits")
        shutil.copyfile(path, folder / f"own_{kind}.fits")
        config = folder / "config/calwebb_detector1.cfg"
        line = f"override_{kind} = own_{kind}.fits\n"
        return rewritten(config, lambda b: b.replace(b"\n[steps]", f"{line}\n[steps]".encode(), 1))

    return change


def after(step: str) -> set[str]:
    """A step and all that follow it."""
    return {*ALL[ALL.index(step) :], "ramp_fit"}


def both(rules: set[str]) -> set[str]:
    return rules | {f"{rule}:other" for rule in rules}


CAUSES = {
    "pixels": (pixels, after("dq_init")),
    "saturation's parameter": (
        parameter("saturation", "n_pix_grow_sat = 2"),
        after("saturation"),
    ),
    "refpix's parameter": (parameter("refpix", "side_gain = 0.5"), after("refpix")),
    "jump's parameter": (parameter("jump", "rejection_threshold = 9"), after("jump")),
    "ramp_fit's parameter": (parameter("ramp_fit", "suppress_one_group = False"), {"ramp_fit"}),
    "content of mask": (content("mask"), after("dq_init")),
    "content of linearity": (content("linearity"), after("linearity")),
    "content of gain": (content("gain"), after("jump")),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_change_reruns_what_depends_on_it(run: Run, project: Path, cause: str) -> None:
    """Nothing before it, nothing of the other exposure; taken back, nothing at all."""
    change, rules = CAUSES[cause]
    # Parameters and references are those of both exposures.
    expected = rules if cause == "pixels" else both(rules)

    take_back = change(project)
    try:
        assert expected == planned(run, project)
        target = "cal/one_rate.fits"
        why = run("stflow", "why", target, cwd=project).stdout
        assert "is up to date" not in why
    finally:
        take_back()
    assert set() == planned(run, project)


def test_another_reference_reruns_its_steps_and_back(run: Run, project: Path) -> None:
    """Made with it, and then without it: each time the same set."""
    take_back = another("linearity")(project)
    jobs = planned(run, project)
    assert both(after("linearity")) == jobs
    run("snakemake", "--cores", "2", "cal", cwd=project)
    assert set() == planned(run, project)

    take_back()
    assert jobs == planned(run, project)
    run("snakemake", "--cores", "2", "cal", cwd=project)


def test_a_new_time_on_the_same_bytes_reruns_nothing(run: Run, project: Path, made: Path) -> None:
    """Exposure, references, parameter file, intermediate product."""
    for path in (
        made / "one_uncal.fits",
        *(made / "crds").rglob("jwst_niriss_gain_0001.fits"),
        project / "config/calwebb_detector1.cfg",
        project / "cal/one_jump.fits",
    ):
        os.utime(path)
    assert set() == planned(run, project)


def test_unskipping_reruns_what_depends_on_it(run: Run, project: Path) -> None:
    take_back = parameter("linearity", "skip = True")(project)
    expected = both({s for s in after("linearity") if s != "linearity"})
    assert expected == planned(run, project)
    run("snakemake", "--cores", "2", "cal", cwd=project)

    take_back()

    # Its file from before is still there and right: only what follows reads another one again.
    assert expected == planned(run, project)
    run("snakemake", "--cores", "2", "cal", cwd=project)


# --- code ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project of a pipeline whose steps stand in files of their own."""
    home = tmp_path_factory.mktemp("code")
    extra = "from tools import NUMBER"
    for name, more, number in (("First", "", "1"), ("Second", extra, "NUMBER"), ("Third", "", "3")):
        text = STEPS.format(name=f"{name}Step", suffix=name.lower(), number=number, extra=more)
        (home / f"{name.lower()}.py").write_text(text)
    (home / "tools.py").write_text("NUMBER = 2\n")
    (home / "own.py").write_text(PIPELINE)
    models.ImageModel(np.zeros((4, 4), np.float32)).save(home / "one_rate.fits")
    run("stflow", "init", "p", "--pipeline=own.py:OwnPipeline", "one_rate.fits", cwd=home)
    run("snakemake", "--cores", "2", "cal", cwd=home / "p")
    return home


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("first.py", "float32(1)", "float32(10)", {"first", "second", "third"}),
        ("second.py", "float32(NUMBER)", "float32(-NUMBER)", {"second", "third"}),
        ("third.py", "float32(3)", "float32(30)", {"third"}),
        ("second.py", "  # as it is", "  # whatever it is", set()),
        ("second.py", "adds a number", "adds something", set()),
        ("tools.py", "NUMBER = 2", "NUMBER = 20", {"second", "third"}),
    ],
)
def test_code_that_changed_reruns_its_steps(
    run: Run, own: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    """Comments and docstrings do not count; modules that a step imports do."""
    take_back = rewritten(own / file, lambda b: b.replace(old.encode(), new.encode()))
    try:
        assert expected == planned(run, own / "p")
    finally:
        take_back()
    assert set() == planned(run, own / "p")
