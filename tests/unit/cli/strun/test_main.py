"""`strun` as words on a terminal: start-up, version, mistakes of newcomers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe.cli.strun.main import main

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Output = pytest.CaptureFixture[str]

# What may be imported before a target is named: the standard library, and of ours only this.
OWN_AT_START = {
    "stpipe",
    "stpipe.cli",
    "stpipe.cli.common",
    "stpipe.cli.common.arguments",
    "stpipe.cli.common.errors",
    "stpipe.cli.strun",
    "stpipe.cli.strun.help",
    "stpipe.cli.strun.list",
    "stpipe.cli.strun.main",
    "stpipe.cli.common.text",
    "stpipe.errors",
    "stpipe.plugins",
    "stpipe.registry",
    "stpipe.system",
    "stpipe.system.software",
}


@pytest.mark.parametrize("word", ["--help", "--list", "--version"])
def test_little_is_imported_before_a_target_is_named(word: str) -> None:
    """In a fresh interpreter: neither numpy nor astropy, nothing but the standard library."""
    code = (
        "import sys; from stpipe.cli.strun.main import main; main(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, word],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    ours = {name for name in loaded if name.partition(".")[0] == "stpipe"}
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"stpipe"}

    assert ours <= OWN_AT_START
    assert not {name for name in foreign if not name.startswith(("__", "_"))}


def test_colours_are_for_terminals_only(capsys: Output) -> None:
    """None in a pipe; bold headings on a terminal, unless NO_COLOR asks for none."""
    assert 0 == main(["jump", "--help"])
    assert "\033" not in capsys.readouterr().out
    if shutil.which("script") is None:
        pytest.skip("there is no `script` to make a terminal with")

    def on_terminal(**extra: str) -> str:
        environment = {**os.environ, "TERM": "xterm", **extra}
        environment = {k: v for k, v in environment.items() if v}
        strun = Path(sys.executable).parent / "strun"
        return subprocess.run(
            ["script", "-qec", f"{strun} --help", "/dev/null"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout

    assert "\033[1musage:\033[0m" in on_terminal(NO_COLOR="")
    assert "\033" not in on_terminal(NO_COLOR="1")


def test_whoever_has_read_enough_may_go(run: Run, tmp_path: Path) -> None:
    """`strun --list | head -1` is no error."""
    done = run("bash", "-c", "set -o pipefail; strun jump --help | true", cwd=tmp_path, code=141)

    assert "" == done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "no target given"),
        (["jmp"], 2, 'did you mean "jump"'),
        (["x_uncal.fits"], 2, "the step or pipeline comes first: strun calwebb_detector1 x_uncal"),
        (["jump"], 2, "no input given"),
        (["jump", "no_ramp.fits"], 3, "there is no file no_ramp.fits"),
        (["jump", "x.fits", "-q"], 2, 'unknown option "-q"'),
        (["jump", "x.fits", "--explain-paramters"], 2, 'did you mean "explain-parameters"'),
        (["jump", "x.fits", "--rejction=4"], 2, 'did you mean "rejection_threshold"'),
        (["jump", "x.fits", "--log-level=LOUD", "--rejection_threshold=-1"], 2, "float(min=0)"),
        (["jump", "x.fits", "--save-parameters=x.yaml"], 2, ".cfg or .asdf"),
        (["jump", "x.fits", "--like=no.fits"], 3, "no.fits"),
        (["--like"], 2, "--like needs a value"),
        (["jump", "a.fits", "b.fits", "--output_file=c.fits"], 2, "several inputs"),
        (["stpipe.steps.stage1.jump.step:JumpSetp"], 2, 'did you mean "JumpStep"'),
        (["stpipe.steps.stage1.jump.step:JumpRules"], 2, "is not a step of stpipe-flow"),
    ],
)
def test_a_newcomers_mistakes(
    words: list[str],
    code: int,
    message: str,
    capsys: Output,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One message with the way out, the exit code that is documented, no file."""
    monkeypatch.chdir(tmp_path)

    assert code == main(words)

    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert [] == list(tmp_path.iterdir())


def test_parameters_are_saved_without_an_exposure(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file to start from, which runs as it is."""
    monkeypatch.chdir(tmp_path)
    assert 0 == main(["jump", "--rejection_threshold=7", "--save-parameters=mine.cfg"])

    assert 0 == main(["mine.cfg", "--explain-parameters"])
    assert "mine.cfg:" in capsys.readouterr().out
