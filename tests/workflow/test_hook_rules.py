"""Hooks in a project: shell hooks are rules between two steps, Python hooks count as code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]

HOOKS = '''
"""Hooks of one's own."""


def brighter(model):
    """Add one."""
    model.data = model.data + 1  # a pedestal
    return model
'''
# A tool that reads a FITS file and writes one, with a table of its own.
TOOL = """#!/usr/bin/env python
import sys
from stpipe import models

source, target, factor = sys.argv[1:]
with models.open(source) as model:
    model.data = model.data * float(open(factor).read())
    model.save(target)
print("scaled", source)
"""


@pytest.fixture(scope="module")
def made(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished project of one exposure without hooks, and files for hooks beside it."""
    folder = tmp_path_factory.mktemp("hooked") / "project"
    nis = next(e for e in exposures if "nis" in e.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        run("stflow", "init", folder, "--pipeline=calwebb_detector1", nis, cwd=folder.parent)
        (folder / "myhooks.py").write_text(HOOKS)
        (folder / "tool.py").write_text(TOOL)
        (folder / "factor.txt").write_text("1.5")
        run("snakemake", "--cores", "2", "cal/*.fits", cwd=folder)
    return folder


def hook(folder: Path, step: str, when: str, *commands: str) -> None:
    """Give a step hooks in the parameter file; none takes them away."""
    path = folder / "config/calwebb_detector1.cfg"
    head, section = path.read_text().split(f"[[{step}]]\n")
    value = ", ".join(f"'{command}'" for command in commands) or ","
    section = re.sub(rf"(# )?{when} = .*?(?=  # )", f"{when} = {value}", section, count=1)
    path.write_text(f"{head}[[{step}]]\n{section}")


def planned(run: Run, folder: Path, *words: str) -> set[str]:
    text = run("snakemake", "-n", "--cores", "2", *words, cwd=folder).stdout
    return {name for name in re.findall(r"rule (\w+):\n", text) if name not in ("all", "cal")}


def make(run: Run, folder: Path) -> None:
    run("snakemake", "--cores", "2", "cal", cwd=folder)
    assert set() == planned(run, folder)


def product(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"cal/*_nis_{suffix}.fits")
    return path


def test_a_shell_hook_is_a_rule_with_its_own_file_and_log(run: Run, project: Path) -> None:
    """Adding it makes it and what comes after; editing and taking it away as well."""
    hook(project, "linearity", "post_hooks", "shell:python tool.py {input} {output} factor.txt")
    after = {"dark_current", "jump", "ramp_fit"}

    assert {"linearity_post1", *after} == planned(run, project)
    make(run, project)

    with models.open(product(project, "linearity")) as before:
        plain = np.array(before.data)
    with models.open(product(project, "linearity_post1")) as hooked:
        np.testing.assert_array_equal(plain * np.float32(1.5), hooked.data)
        record = hooked.provenance[-1]
    assert ("linearity", "HOOK", "post_hooks") == (
        record["step"],
        record["status"],
        record["when"],
    )
    (log,) = project.glob("logs/*_linearity_post1.log")
    assert "scaled " in log.read_text()

    hook(project, "linearity", "post_hooks", "shell:python tool.py {input} {output}  factor.txt")
    assert {"linearity_post1", *after} == planned(run, project)
    hook(project, "linearity", "post_hooks")
    assert after == planned(run, project)


def test_files_that_a_command_names_count(run: Run, project: Path) -> None:
    """An edited tool or table makes the hook's file again, and what depends on it."""
    hook(project, "jump", "pre_hooks", "shell:python tool.py {input} {output} factor.txt")
    assert {"jump_pre1", "jump", "ramp_fit"} == planned(run, project)
    make(run, project)

    (project / "factor.txt").write_text("1.25")

    assert {"jump_pre1", "jump", "ramp_fit"} == planned(run, project)


def test_a_hook_that_only_looks_makes_no_product(run: Run, project: Path) -> None:
    """After a result nothing waits for it; between two steps what follows waits."""
    before = {p.name for p in project.glob("cal/*")}
    hook(project, "ramp_fit", "post_hooks", "shell:echo saw $(basename {input})")
    assert {"ramp_fit_post1"} == planned(run, project)

    make(run, project)

    assert before == {p.name for p in project.glob("cal/*")}
    (log,) = project.glob("logs/*_ramp_fit_post1.log")
    assert re.search(r"saw jw\S*_nis_rate.fits", log.read_text())

    hook(project, "jump", "post_hooks", "shell:exit 3")
    done = run("snakemake", "--cores", "2", "cal", cwd=project, code=1)
    assert "jump_post1" in done.stdout + done.stderr
    (log,) = project.glob("logs/*_jump_post1.log")
    assert "failed with exit code 3" in log.read_text()
    assert {"jump_post1", "ramp_fit", "ramp_fit_post1"} == planned(run, project)


def test_python_hooks_run_in_the_step_and_count_as_its_code(run: Run, project: Path) -> None:
    """Comments do not count."""
    hook(project, "jump", "pre_hooks", "python:myhooks.brighter")
    assert {"jump", "ramp_fit"} == planned(run, project)
    make(run, project)
    with models.open(product(project, "jump")) as hooked:
        assert "python:myhooks.brighter" in [r.get("hook") for r in hooked.provenance]

    own = project / "myhooks.py"
    own.write_text(own.read_text().replace("# a pedestal", "# more"))
    assert set() == planned(run, project)
    own.write_text(own.read_text().replace("+ 1", "+ 2"))
    assert {"jump", "ramp_fit"} == planned(run, project)


def test_hooks_keep_their_order_and_memory_agrees(
    run: Run, project: Path, exposures: list[Path], demo_folder: Path, tmp_path: Path
) -> None:
    """Python between shell hooks gets a rule too; `strun` gives the same pixels and history."""
    row = [
        "shell:python tool.py {input} {output} factor.txt",
        "python:myhooks.brighter",
        "shell:python tool.py {input} {output} factor.txt",
        "python:myhooks.brighter",
    ]
    hook(project, "jump", "pre_hooks", *row)
    hook(project, "ramp_fit", "post_hooks", row[0])
    make(run, project)
    assert {"jump_pre1", "jump_pre2", "jump_pre3"} == {
        p.stem.partition("_nis_")[2] for p in project.glob("cal/*_pre?.fits")
    }

    nis = next(e for e in exposures if "nis" in e.name)
    words = [f"--steps.jump.pre_hooks={one}" for one in row]
    words += [f"--steps.ramp_fit.post_hooks={row[0]}", f"--output_dir={tmp_path}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        run("strun", "calwebb_detector1", nis, *words, cwd=project)

    name = product(project, "rate").name
    with models.open(project / "cal" / name) as one, models.open(tmp_path / name) as other:
        np.testing.assert_array_equal(one.data, other.data)
        keys = ("step", "status", "hook", "when", "parameters")
        assert [[r.get(k) for k in keys] for r in one.provenance] == [
            [r.get(k) for k in keys] for r in other.provenance
        ]


def test_a_hook_that_cannot_be_imported_stops_planning(run: Run, project: Path) -> None:
    """Before any job runs: exit code 5 of stflow, the name in the message."""
    hook(project, "jump", "pre_hooks", "python:myhooks.nosuch")

    done = run("stflow", "generate", cwd=project, code=5)

    assert "myhooks.nosuch" in done.stderr
