"""`strun` and `stflow` as words on a terminal: help, listings, completion, version, start-up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe.cli.common import completion
from stpipe.cli.stflow import main as stflow
from stpipe.cli.strun.main import main
from stpipe.core.loading import load
from stpipe.registry import PIPELINES, STEPS

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


def test_help_of_the_command_names_options_and_exit_codes(capsys: Output) -> None:
    assert 0 == main(["--help"])
    text = capsys.readouterr().out
    for word in ("usage: strun TARGET INPUT", "--explain-parameters", "--like=PRODUCT", "5 hook"):
        assert word in text


def test_help_of_a_step_tells_purpose_parameters_references_and_an_example(capsys: Output) -> None:
    """Type, bounds, default and help of each in lines that align; common ones apart at the end."""
    assert 0 == main(["jump", "--help"])
    text = capsys.readouterr().out

    assert "Find the jumps that cosmic rays leave in ramps" in text
    lines = [line for line in text.splitlines() if line.startswith("  --")]
    threshold = next(line for line in lines if "--rejection_threshold" in line)
    assert "4.0" in threshold
    assert "[float, at least 0]" in " ".join(text.split())
    own = lines[: next(i for i, line in enumerate(lines) if "override_" in line)]
    assert 1 == len({line.index(f" {line.split()[1]} ") for line in own}), "defaults align"
    assert 1 == len({line.index(f" {line.split()[2]} ") for line in own}), "texts align"
    assert "needed  gain, readnoise" in text
    assert "strun jump jw01_ramp.fits --rejection_threshold=4.0" in text
    assert text.index("parameters of every step:") > text.index("example:")
    assert text.index("--skip") > text.index("parameters of every step:")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("alias", sorted({**STEPS, **PIPELINES}))
def test_every_target_has_help_with_every_parameter(alias: str, capsys: Output) -> None:
    from stpipe.parameters.specs import rules

    assert 0 == main([alias, "--help"])
    text = capsys.readouterr().out
    for name in rules(load(alias)):
        if not name.startswith("override_"):
            assert f"--{name} " in text


def test_help_of_a_pipeline_is_compact_and_its_steps_come_on_request(capsys: Output) -> None:
    """Not four hundred options: steps with a line each, and `--help STEP`."""
    assert 0 == main(["calwebb_detector1", "--help"])
    text = capsys.readouterr().out
    assert "--steps.jump" not in text
    assert len(text.splitlines()) < 60

    assert 0 == main(["calwebb_detector1", "--help", "jump"])
    assert "--steps.jump.rejection_threshold " in capsys.readouterr().out

    assert 2 == main(["calwebb_detector1", "--help", "jmp"])
    assert 'did you mean "jump"' in capsys.readouterr().err


def test_the_list_has_a_line_for_each(capsys: Output) -> None:
    assert 0 == main(["--list"])
    lines = capsys.readouterr().out.splitlines()

    assert len(STEPS) + len(PIPELINES) + 2 == len(lines)
    assert any(line.startswith("  jump ") and "cosmic rays" in line for line in lines)


def test_the_list_for_programs(capsys: Output) -> None:
    assert 0 == main(["--list", "--json"])
    found = {entry["alias"]: entry for entry in json.loads(capsys.readouterr().out)}

    assert {*STEPS, *PIPELINES} <= set(found)
    assert ("pipeline", "stpipe-flow") == (
        found["calwebb_detector1"]["kind"],
        found["calwebb_detector1"]["package"],
    )
    assert found["jump"]["summary"]


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


# --- completion ------------------------------------------------------------------------------------


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


# --- mistakes of a newcomer ------------------------------------------------------------------------


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
        (["stpipe.steps.stage1.jump.step:JumpRules"], 2, "it is no step of stpipe-flow"),
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
