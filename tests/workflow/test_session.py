"""The newcomer's session of the documentation, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/session.md"
MARK = "=== command"


@dataclass(frozen=True)
class Command:
    """A line of the page, what it prints and how it ends."""

    line: str
    prints: tuple[str, ...]
    code: int


def commands(page: str) -> list[Command]:
    """Every `$ line` of the page's console blocks; a block may say `exit=N` for all of its lines."""
    found = []
    for options, block in re.findall(
        r"^```console(.*?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        code = int((re.search(r"exit=(\d+)", options) or ["", "0"])[1])
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *prints = part.splitlines()
            found.append(Command(line, tuple(prints), code))
    return found


COMMANDS = commands(PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """What each command printed and how it ended, all in one shell in an empty folder."""
    script = "".join(f"{command.line} 2>&1\nprintf '\\n{MARK} %d\\n' $?\n" for command in COMMANDS)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CRDS", "STPIPE"))}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path_factory.mktemp("session"),
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    parts = re.split(rf"\n{MARK} (\d+)\n", done.stdout)
    return [(parts[i], int(parts[i + 1])) for i in range(0, len(parts) - 1, 2)]


def pattern(prints: tuple[str, ...]) -> re.Pattern[str]:
    """The shown lines as they must stand in the output; `...` alone is any number of lines."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in prints
    ]
    return re.compile("".join(lines))


def test_the_page_has_twenty_commands() -> None:
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[c.line[:40] for c in COMMANDS])
def test_a_command_prints_what_the_page_shows(number: int, session: list[tuple[str, int]]) -> None:
    """Line by line, and with the exit code that the page states."""
    command = COMMANDS[number]
    output, code = session[number]
    text = "".join(line.rstrip() + "\n" for line in output.splitlines() if line.strip())

    assert command.code == code, output
    assert pattern(command.prints).fullmatch(text), f"$ {command.line}\n{output}"
