"""What there is, for persons and for programs."""

from __future__ import annotations

import json

import pytest

from stpipe.cli.strun.main import main
from stpipe.registry import PIPELINES, STEPS

Output = pytest.CaptureFixture[str]


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
