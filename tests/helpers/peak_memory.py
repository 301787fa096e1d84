"""The most memory that a command takes, as the operating system accounts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["peak_mb"]

# The largest resident set of a process includes that of the process that started it: a small one does.
_SMALL = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_mb(command: Sequence[object], folder: Path) -> float:
    """Run a command in a folder; MB of its largest resident set."""
    words = [sys.executable, "-S", "-c", _SMALL, *map(str, command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
