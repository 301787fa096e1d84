"""Help of `strun`: of the command, of steps and of pipelines."""

from __future__ import annotations

import pytest

from stpipe.cli.strun.main import main
from stpipe.core.loading import load
from stpipe.registry import PIPELINES, STEPS

Output = pytest.CaptureFixture[str]


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
