"""`stflow run` and `stflow verify`; what is kept, what is dropped, what shares a job."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def made(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished project of one exposure."""
    folder = tmp_path_factory.mktemp("ran") / "project"
    nis = next(e for e in exposures if "nis" in e.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        run("stflow", "init", folder, "--pipeline=sloper", nis, cwd=folder.parent)
        done = run("stflow", "run", "--cores", "2", cwd=folder)
    assert re.search(r"ramp_fit +\S+_nis", done.stdout)
    return folder


def product(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"cal/*_nis_{suffix}.fits")
    return path


def suffixes(folder: Path) -> set[str]:
    return {p.stem.partition("_nis_")[2] for p in folder.glob("cal/*.fits")}


def set_jump(folder: Path, line: str) -> None:
    path = folder / "config/sloper.cfg"
    head, section = path.read_text().split("[[jump]]\n")
    path.write_text(f"{head}[[jump]]\n{line}\n{section}")


def configure(folder: Path, **entries: object) -> None:
    path = folder / "config/config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | entries))


def test_a_second_run_says_that_there_is_nothing_to_do(run: Run, project: Path) -> None:
    assert "Nothing to be done" in run("stflow", "run", cwd=project).stdout


def test_words_go_to_snakemake(run: Run, project: Path) -> None:
    """Targets and options, in their order; the project may be elsewhere."""
    name = product(project, "rate").relative_to(project)
    product(project, "rate").unlink()
    place = f"--directory={project}"
    run("stflow", "run", place, "--cores", "1", "--until", "ipc", "--", name, cwd=project.parent)
    assert not (project / name).exists()

    run("stflow", "run", place, "--cores", "1", name, cwd=project.parent)
    assert (project / name).is_file()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("post_hooks = shell:exit 3,", 5, "failed with exit code 3"),
        ("pre_hooks = 'shell:cp {input} {output}; truncate -s 90000 {output}',", 5, "unusable"),
    ],
)
def test_a_failed_rerun_does_not_cost_the_product(
    run: Run, project: Path, line: str, code: int, message: str
) -> None:
    """It keeps its bytes and its history: what failed is tried again, what worked before is known."""
    before = {p: p.read_bytes() for p in project.glob("cal/*.fits")}
    config = (project / "config/sloper.cfg").read_text()
    set_jump(project, f"rejection_threshold = 9\n{line}")

    for _ in range(2):
        done = run("stflow", "run", "--cores", "2", cwd=project, code=code)
        assert message in done.stderr
        assert before[product(project, "rate")] == product(project, "rate").read_bytes()

    (project / "config/sloper.cfg").write_text(config)
    run("stflow", "run", cwd=project)
    after = {p: p.read_bytes() for p in before}
    changed = {p for p in before if before[p] != after[p]}
    # Whatever was rebuilt since has other times in its history.
    assert {product(project, s) for s in ("dq_init", "superbias")}.isdisjoint(changed)
    assert "Nothing to be done" in run("stflow", "run", cwd=project).stdout


def test_a_failing_job_keeps_the_product_that_it_should_replace(run: Run, project: Path) -> None:
    """Snakemake deletes it first; it is there again afterwards, and known to be out of date."""
    rate = product(project, "rate")
    before = rate.read_bytes()
    path = project / "config/sloper.cfg"
    config = path.read_text()
    head, section = config.split("[[ramp_fit]]\n")
    path.write_text(f"{head}[[ramp_fit]]\npost_hooks = 'shell:false {{output}}',\n{section}")

    done = run("stflow", "run", cwd=project, code=5)

    assert "is the previous one: rebuilding it failed." in done.stderr
    assert before == rate.read_bytes()
    run("stflow", "run", cwd=project, code=5)
    path.write_text(config)
    assert "Nothing to be done" in run("stflow", "run", cwd=project).stdout
    assert before == rate.read_bytes()


def test_locks_of_a_killed_run_are_explained(run: Run, project: Path) -> None:
    locks = project / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(f"{product(project, 'rate').relative_to(project)}\n")

    done = run("stflow", "run", cwd=project, code=2)
    assert "stflow run --unlock" in done.stderr
    run("stflow", "verify", cwd=project, code=2)
    run("stflow", "run", "--unlock", cwd=project)
    assert "Nothing to be done" in run("stflow", "run", cwd=project).stdout


def test_what_planning_finds_wrong_is_one_message(run: Run, project: Path) -> None:
    """With its own exit code, before snakemake starts."""
    set_jump(project, "rejection_treshold = 9")
    done = run("stflow", "run", cwd=project, code=2)

    assert 'did you mean "rejection_threshold"' in done.stderr
    assert "Traceback" not in done.stderr


# --- verify ----------------------------------------------------------------------------------------


def test_truncated_and_altered_products_are_set_aside(run: Run, project: Path) -> None:
    """And rebuilt by the next run, results or not, to the same pixels."""
    assert "5 products intact" in run("stflow", "verify", cwd=project).stdout
    with models.open(product(project, "rate")) as model:
        before = np.array(model.data)
    bias, rate = product(project, "superbias"), product(project, "rate")
    bias.write_bytes(bias.read_bytes()[:-2880])
    content = bytearray(rate.read_bytes())
    content[9000] ^= 1
    rate.write_bytes(content)

    done = run("stflow", "verify", "--keep", cwd=project, code=1)
    assert f"{bias.relative_to(project)}: altered" in done.stdout
    done = run("stflow", "verify", cwd=project, code=1)
    assert f"{rate.relative_to(project)}: altered; set aside as .stflow/aside/cal/" in done.stdout
    assert not bias.exists()
    assert not rate.exists()

    run("stflow", "run", cwd=project)
    run("stflow", "verify", cwd=project)
    with models.open(product(project, "rate")) as model:
        np.testing.assert_array_equal(before, model.data)


def test_a_product_without_a_record_is_judged_by_its_structure(run: Run, project: Path) -> None:
    shutil.rmtree(project / ".stflow/made")
    assert "5 products" in run("stflow", "verify", cwd=project).stdout
    rate = product(project, "rate")
    rate.write_bytes(rate.read_bytes()[:-6000])

    assert "set aside" in run("stflow", "verify", cwd=project, code=1).stdout


# --- keep and granularity --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "kept", "rules"),
    [
        ({"keep": "products"}, {"rate", "rateints"}, {"ramp_fit"}),
        ({"keep": ["jump"]}, {"jump", "rate", "rateints"}, {"jump", "ramp_fit"}),
        (
            {"keep": ["jump"], "granularity": "step"},
            {"jump", "rate", "rateints"},
            {"dq", "bias", "jump", "ramp_fit"},
        ),
    ],
)
def test_products_on_the_way_may_go(
    run: Run, project: Path, entries: dict[str, object], kept: set[str], rules: set[str]
) -> None:
    """In one job or in several: the same pixels and history, and nothing to do afterwards."""
    whole = project / "whole"
    shutil.move(project / "cal", whole)
    shutil.rmtree(project / ".snakemake")
    configure(project, **entries)

    text = run("snakemake", "-n", "--cores", "1", cwd=project).stdout
    assert rules <= {*re.findall(r"rule (\w+):\n", text), "ipc"}
    if entries.get("granularity") != "step":
        assert rules == set(re.findall(r"rule (\w+):\n", text)) - {"all"}
    run("stflow", "run", cwd=project)

    assert kept == suffixes(project)
    assert "Nothing to be done" in run("stflow", "run", cwd=project).stdout
    for name in ("rate", "rateints"):
        path = product(project, name)
        with models.open(path) as one, models.open(whole / path.name) as other:
            for array in one.shapes:
                np.testing.assert_array_equal(getattr(one, array), getattr(other, array))
            for mine, theirs in zip(one.provenance, other.provenance, strict=True):
                for key in ("step", "status", "parameters", "references", "suffix"):
                    assert mine.get(key) == theirs.get(key)


def test_a_fused_job_runs_again_when_any_of_its_steps_changes(run: Run, project: Path) -> None:
    configure(project, keep="products")
    run("stflow", "run", cwd=project)
    set_jump(project, "rejection_threshold = 9")

    text = run("snakemake", "-n", "--cores", "1", cwd=project).stdout
    assert ["ramp_fit"] == [r for r in re.findall(r"rule (\w+):\n", text) if r != "all"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"keep": "all", "granularity": "fused"}, "Say keep: products"),
        ({"keep": ["jmp"]}, 'did you mean "jump"'),
        ({"granularity": "steps"}, "granularity"),
    ],
)
def test_wrong_entries_are_explained(
    run: Run, project: Path, entries: dict[str, object], message: str
) -> None:
    configure(project, **entries)
    assert message in run("stflow", "run", cwd=project, code=2).stderr
