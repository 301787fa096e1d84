"""Projects on a real Slurm: groups, jobs that the scheduler kills, orphans, edits while jobs wait."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster import Unavailable, slurm

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROFILE = ["--profile", "workflow/profiles/slurm", "--nocolor"]
# The small cluster has no accounting database, and nobody wants to wait 40 s for the first answer.
HERE = [
    "--slurm-status-command=squeue",
    "--slurm-no-account",
    "--slurm-keep-successful-logs",
    "--slurm-init-seconds-before-status-checks=1",
    "--seconds-between-status-checks=1",
]

OWN = '''
"""Steps that need memory, or wait until a file is there."""
import time
from pathlib import Path

from stpipe import Pipeline, Step


class HungryStep(Step):
    """Needs 400 MB more than most, for some seconds."""
    alias = "hungry"
    suffix = "hungry"

    def process(self, model):
        held = bytearray(b"1") * (400 * 2**20)
        time.sleep(4)
        return model if held else None


class PatientStep(Step):
    """Waits for somebody to open the gate."""
    alias = "patient"
    suffix = "patient"
    spec = "level = integer(default=1)  # counts to add"

    def process(self, model):
        Path("arrived").write_text("")
        while not Path("gate").exists():
            time.sleep(0.1)
        model.data = (model.data + self.level).astype("uint16")
        return model


class HungryPipeline(Pipeline):
    """One step."""
    step_defs = {"hungry": HungryStep}

    def process(self, input):
        return self.hungry(input)


class PatientPipeline(Pipeline):
    """One step."""
    step_defs = {"patient": PatientStep}

    def process(self, input):
        return self.patient(input)
'''


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a running Slurm; tests are skipped where there cannot be one."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    context = slurm(tmp_path_factory.mktemp("slurm"))
    try:
        environment = context.__enter__()
    except Unavailable as reason:
        pytest.skip(f"no Slurm here: {reason}")
    yield environment
    context.__exit__(None, None, None)


@pytest.fixture
def submit(
    cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.Popen[str]]:
    """`submit(folder, "cal")`: snakemake with the project's profile, its words in submit.log."""
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)

    def start(folder: Path, *words: str) -> subprocess.Popen[str]:
        with (folder / "submit.log").open("w") as log:
            return subprocess.Popen(
                ["snakemake", *PROFILE, *HERE, *words],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    return start


def finish(process: subprocess.Popen[str], folder: Path) -> str:
    code = process.wait(300)
    text = (folder / "submit.log").read_text()
    assert 0 == code, text
    return text


def submitted(text: str) -> list[str]:
    """Numbers of the jobs that a run handed to the scheduler."""
    return re.findall(r"SLURM jobid (\d+)", text)


def jobs(state: str) -> list[str]:
    """Numbers of the cluster's jobs in a state, such as RUNNING."""
    command = ["squeue", "--noheader", f"--states={state}", "--format=%A"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def wait_for(condition: Callable[[], object], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"after a minute there is still no {what}")


def own_project(run: Run, exposure: Path, folder: Path, pipeline: str) -> Path:
    (folder / "own.py").write_text(OWN)
    run("stflow", "init", "project", f"--pipeline=own.py:{pipeline}", exposure, cwd=folder)
    return folder / "project"


@pytest.mark.usefixtures("crds")
def test_a_chain_is_one_job(
    run: Run, submit: Callable[..., subprocess.Popen[str]], exposures: list[Path], tmp_path: Path
) -> None:
    """Whatever the number of steps, an exposure is submitted once; pixels are those made locally."""
    chosen = [e for e in exposures if "nis" in e.name or "mirimage" in e.name]
    for name in ("here", "there"):
        run("stflow", "init", name, "--pipeline=calwebb_detector1", *chosen, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal", cwd=tmp_path / "here")

    text = finish(submit(tmp_path / "there", "cal"), tmp_path / "there")

    assert len(chosen) == len(submitted(text))
    made = sorted((tmp_path / "there/cal").iterdir())
    assert len(made) > 15
    for product in made:
        with models.open(product) as one, models.open(tmp_path / "here/cal" / product.name) as two:
            np.testing.assert_array_equal(one.data, two.data, err_msg=product.name)
    again = finish(submit(tmp_path / "there", "cal"), tmp_path / "there")
    assert "Nothing to be done" in again


@pytest.mark.usefixtures("crds")
def test_a_job_killed_for_its_memory_gets_more(
    run: Run, submit: Callable[..., subprocess.Popen[str]], exposures: list[Path], tmp_path: Path
) -> None:
    """The scheduler kills what takes more than planned; each retry asks for twice as much."""
    project = own_project(run, exposures[0], tmp_path, "HungryPipeline")

    text = finish(submit(project, "cal"), project)

    logs = "".join(path.read_text() for path in project.glob(".snakemake/slurm_logs/**/*.log"))
    assert "exceeded memory limit" in logs
    asked = [int(n) for n in re.findall(r"mem_mb=(\d+)", text)]
    assert len(submitted(text)) > 1
    assert 2 * asked[0] in asked
    assert 1 == len(list(project.glob("cal/*_hungry.fits")))


@pytest.mark.usefixtures("crds")
def test_an_orphan_does_not_spoil_the_file_of_its_successor(
    run: Run, submit: Callable[..., subprocess.Popen[str]], exposures: list[Path], tmp_path: Path
) -> None:
    """Snakemake dies, its job lives on; the next run makes the same product at the same time."""
    project = own_project(run, exposures[0], tmp_path, "PatientPipeline")
    (project / "gate").touch()
    run("snakemake", "--cores", "1", "cal", cwd=project)
    product = next(project.glob("cal/*_patient.fits"))
    undisturbed = product.rename(tmp_path / product.name)
    for name in ("gate", "arrived"):
        (project / name).unlink()

    first = submit(project, "cal")
    wait_for((project / "arrived").exists, "orphan at work")
    first.send_signal(signal.SIGKILL)
    first.wait()
    run("snakemake", "--unlock", cwd=project)
    second = submit(project, "cal")
    wait_for(lambda: len(jobs("RUNNING")) > 1, "successor beside the orphan")
    (project / "arrived").unlink()
    wait_for((project / "arrived").exists, "successor at work")
    (project / "gate").touch()
    finish(second, project)
    wait_for(lambda: not jobs("RUNNING"), "end of the orphan")

    with models.open(product) as made, models.open(undisturbed) as expected:
        np.testing.assert_array_equal(made.data, expected.data)
        assert expected.provenance[-1]["parameters"] == made.provenance[-1]["parameters"]
    assert [product.name] == [p.name for p in (project / "cal").iterdir()]


@pytest.mark.usefixtures("crds")
def test_a_job_that_waits_is_not_changed_by_an_edit(
    run: Run,
    submit: Callable[..., subprocess.Popen[str]],
    exposures: list[Path],
    tmp_path: Path,
) -> None:
    """A job reads the Snakefile when it starts, but follows the plan of the run that submitted it."""
    project = own_project(run, exposures[0], tmp_path, "PatientPipeline")
    (project / "gate").touch()
    blocker = run("sbatch", "--parsable", "--exclusive", "--wrap=sleep 300", cwd=project).stdout
    try:
        wait_for(lambda: jobs("RUNNING"), "cluster that is busy")
        run_ = submit(project, "cal")
        wait_for(lambda: jobs("PENDING"), "job that waits")
        configuration = project / "config/PatientPipeline.cfg"
        text = configuration.read_text()
        configuration.write_text(text.replace("# level = 1 ", "level = 7 "))
        # Somebody looks what would be made now, which plans anew.
        assert "level changed" not in run("snakemake", "-n", "cal", cwd=project).stdout
    finally:
        run("scancel", blocker.strip(), cwd=project)
    finish(run_, project)

    with models.open(next(project.glob("cal/*_patient.fits"))) as made:
        assert 1 == made.provenance[-1]["parameters"]["level"]
    planned = run("snakemake", "-n", "cal", cwd=project).stdout
    assert "Params have changed" in planned
    assert not [name for name in os.environ if name.startswith("STFLOW")]
