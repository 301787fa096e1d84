"""Time whole processes: wall and CPU seconds and peak memory, as the operating system accounts them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "alternate", "copy_speed", "run"]


@dataclass(frozen=True)
class Cost:
    """What one process cost."""

    wall: float  # s
    cpu: float  # s, user and system
    peak: float  # MB, the largest resident set

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, {self.cpu:.1f} s CPU, {self.peak:.0f} MB"


def run(command: Sequence[str | Path], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command once; its output goes to `folder`/bench.log.

    Raises
    ------
    RuntimeError
        When the command fails.
    """
    # The largest resident set of a process includes that of the process that started it.
    small = [sys.executable, "-S", __file__, *(str(word) for word in command)]
    with (folder / "bench.log").open("w") as log:
        done = subprocess.run(
            small,
            cwd=folder,
            env=_settings() | environment,
            stdout=subprocess.PIPE,
            stderr=log,
            check=False,
        )
    status, *figures = json.loads(done.stdout)
    if status:
        tail = (folder / "bench.log").read_text()[-2000:]
        raise RuntimeError(f"{command} failed with {status}:\n{tail}")
    return Cost(*figures)


def measured(command: Sequence[str]) -> tuple[int, float, float, float]:
    """Run a command, its output to standard error; its exit status, and the fields of `Cost`."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in kB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6
    return process.returncode, wall, cpu, peak


def _settings() -> dict[str, str]:
    """The environment; without what keeps a package that is installed for editing uncompiled."""
    return {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}


def alternate(runs: int, *contestants: Callable[[], Cost]) -> list[Cost]:
    """Medians of several runs of each contestant, one after the other in turn."""
    costs: list[list[Cost]] = [[] for _ in contestants]
    for _ in range(runs):
        for results, contestant in zip(costs, contestants, strict=True):
            results.append(contestant())
    return [_median(results) for results in costs]


def _median(costs: Sequence[Cost]) -> Cost:
    parts = zip(*((c.wall, c.cpu, c.peak) for c in costs), strict=True)
    return Cost(*(statistics.median(part) for part in parts))


def copy_speed(megabytes: int = 400) -> float:
    """Bytes per second at which this machine copies memory."""
    import numpy as np

    source = np.ones(megabytes * 125_000)
    target = np.empty_like(source)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return source.nbytes / min(times)


if __name__ == "__main__":
    json.dump(measured(sys.argv[1:]), sys.stdout)
