"""The transcript in the README is what a user sees."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_demo_prints_what_the_readme_shows(run: Run, shown: Path, tmp_path: Path) -> None:
    """Every line of the first, the second and the third transcript, in its order."""
    first, second, third = (ROOT / "README.md").read_text().split("```")[3:8:2]
    assert_shows((shown / "first.txt").read_text(), first)
    assert_shows((shown / "second.txt").read_text(), second)

    # Beside the exposures and references, which the project names by where they are from it.
    project = tmp_path / "demo"
    shutil.copytree(shown / "demo", project, symlinks=True)
    cfg = project / "config/calwebb_detector1.cfg"
    text = cfg.read_text().replace("# rejection_threshold = 4.0", "rejection_threshold = 5", 1)
    cfg.write_text(text)
    why = third.split("stflow why ")[1].splitlines()[0]
    assert_shows(run("stflow", "why", why, cwd=project).stdout, third)


def test_stopping_changing_and_inserting_prints_what_the_readme_shows(
    run: Run, demo_folder: Path, tmp_path: Path
) -> None:
    """Every command of the transcript in one shell; all that it prints, and nothing else."""
    readme = (ROOT / "README.md").read_text()
    transcript = readme.split("## Stop, look, change, go on")[1].split("```")[1].strip()
    commands = [line[2:] for line in transcript.splitlines() if line.startswith("$ ")]
    echoed = "\n".join(f"printf '%s\\n' {shlex.quote(f'$ {c}')}\n{c}" for c in commands)
    (tmp_path / "demo").symlink_to(demo_folder)

    printed = run("sh", "-e", "-c", echoed, cwd=tmp_path).stdout

    assert transcript.splitlines() == printed.rstrip().splitlines()


def assert_shows(printed: str, transcript: str) -> None:
    """Each line of output in the transcript is printed; commands may be cut with `...`."""
    lines = [line.rstrip() for line in printed.splitlines()]
    for line in transcript.strip().splitlines():
        if line and not line.startswith(("$ make", "$ stflow", "$ cd demo && stflow")):
            assert line.rstrip() in lines, f"the README shows: {line}"
