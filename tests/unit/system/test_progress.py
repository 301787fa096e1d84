"""The progress bar: on terminals, for long work, out of everybody's way."""

from __future__ import annotations

import io
import itertools
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from stpipe.system import logs, progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, step: float) -> Terminal:
    """A terminal as stderr, and a clock that goes on by `step` seconds whenever it is read."""
    stream, clock = Terminal(), itertools.count(100.0, step)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    return stream


def test_long_work_has_a_bar_that_goes_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It tells the share that is done and the time that is left, and is erased at the end."""
    terminal = on_terminal(monkeypatch, 1.0)
    assert list(range(10)) == list(progress.follow(range(10), 10, "jump"))
    written = terminal.getvalue()
    assert "jump [###...........................] 10 %, 9 s left" in written
    assert "jump [###########################...] 90 %, 1 s left" in written
    assert written.endswith(progress.ERASE)


def test_short_work_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What will be over in two seconds shows nothing, not even at its end."""
    terminal = on_terminal(monkeypatch, 0.15)
    list(progress.follow(range(12), 12, "jump"))
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("kind", ["file", "dumb"])
def test_nothing_but_terminals_sees_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, pipes and terminals that cannot erase get nothing."""
    terminal = on_terminal(monkeypatch, 1.0)
    if kind == "file":
        monkeypatch.setattr(terminal, "isatty", lambda: False)
    else:
        monkeypatch.setenv("TERM", "dumb")
    assert [1, 2, 3] == list(progress.follow([1, 2, 3], 3, "jump"))
    assert terminal.getvalue() == ""


def test_it_makes_way_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record has a line of its own, and the bar comes back below it."""
    terminal = on_terminal(monkeypatch, 1.0)
    with logs.for_call({"format": "%(message)s"}):
        for n in progress.follow(range(4), 4, "jump"):
            if n == 2:
                logging.getLogger("stpipe.jump").warning("look out")
    before, after = terminal.getvalue().split("look out\n")
    assert before.endswith(progress.ERASE)
    assert "75 %" in after


def test_it_is_erased_when_the_work_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message of an error starts on a clean line."""
    terminal = on_terminal(monkeypatch, 1.0)

    def items() -> object:
        yield from (1, 2)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised above
        list(progress.follow(items(), 9, "jump"))
    assert terminal.getvalue().endswith(progress.ERASE)


SLOW_STEP = """
import time
from stpipe import RampStep

class SlowStep(RampStep):
    alias = suffix = "slow"
    halo = 0
    def correct(self, ramp, references):
        time.sleep(0.04)
"""


def test_a_user_sees_it(exposures: list[Path], tmp_path: Path) -> None:
    """`strun` on a terminal; its log file has none of it."""
    (tmp_path / "slow.py").write_text(SLOW_STEP)
    niriss = next(path for path in exposures if "nis" in path.name)
    code = (
        "import sys; from stpipe.engine import chain;"
        "chain.BAND_BYTES = chain.BLOCK_BYTES = 8; chain.THINNEST = 1;"
        "from stpipe.cli.strun.main import main; sys.exit(main())"
    )
    words = ["slow.py:SlowStep", str(niriss), "--log-file=run.log"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += (piece := os.read(ours, 1000))
        except OSError:
            break
        if not piece:
            break
    os.close(ours)
    assert 0 == process.wait()
    assert b"slow [####" in shown
    assert shown.count(b"left") > 3
    assert "[#" not in (tmp_path / "run.log").read_text()
