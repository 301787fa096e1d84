"""Completion of words on a terminal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe.cli.common import completion
from stpipe.cli.stflow import main as stflow
from stpipe.cli.strun.main import main

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ju"], {"jump"}),
        (["--expl"], {"--explain-parameters"}),
        (["jump", "--rej"], {"--rejection_threshold="}),
        (["jump", "--flag_4"], {"--flag_4_neighbors"}),
        (["calwebb_detector1", "--st"], {"--steps.", "--start-step=", "--stop-step="}),
        (["calwebb_detector1", "--steps.ju"], {"--steps.jump."}),
        (["calwebb_detector1", "--steps.jump.rej"], {"--steps.jump.rejection_threshold="}),
        (["jump", "--log-level=D"], {"--log-level=DEBUG"}),
        (["jump", "x_"], set()),
        (["nosuchstep", "--rej"], set()),
        (["calwebb_detector1", "--steps.nosuch.r"], set()),
    ],
)
def test_words_are_completed(words: list[str], offered: set[str], capsys: Output) -> None:
    """Aliases, options, parameters of the target, steps of a pipeline and their parameters."""
    assert 0 == main(["--complete", *words])
    assert offered == set(capsys.readouterr().out.split())


def test_stflow_completes_too(capsys: Output) -> None:
    assert 0 == stflow.main(["--complete", "gen"])
    assert ["generate"] == capsys.readouterr().out.split()
    assert 0 == stflow.main(["--complete", "graph", "--f"])
    assert ["--format"] == capsys.readouterr().out.split()


def test_bash_completes_with_it(run: Run, tmp_path: Path) -> None:
    """The script works in the shell that it is for."""
    line = (
        'eval "$(strun --completion bash)"; COMP_WORDS=(strun jump --rej); COMP_CWORD=2; '
        '_strun 2>&1; echo "${COMPREPLY[@]}"'
    )
    assert "--rejection_threshold=" in run("bash", "-c", line, cwd=tmp_path).stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_scripts(shell: str, run: Run, tmp_path: Path) -> None:
    """Syntax is checked where the shell is installed."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(completion.script("strun", shell))
    run(shell, "-n", "script", cwd=tmp_path)


def test_an_unknown_shell_is_named(capsys: Output) -> None:
    assert 2 == main(["--completion=bsh"])
    assert 'allowed: bash, zsh, fish (did you mean "bash"?)' in capsys.readouterr().err
