"""What a run cost: time from Snakemake's records, processor time and memory from the jobs' logs.

Snakemake notes when each job began and ended. Its `benchmark:` files would add memory, but they look
at a job every 30 s and miss what a step of a second needs; `strun` asks the kernel at its end instead
and says it in the last line of its log, which is exact and there for every job, on clusters too.
"""

from __future__ import annotations

import json
import re
import statistics
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stpipe.system.logs import COST

__all__ = ["Cost", "RuleCost", "by_rule", "last_error", "read"]

METADATA = Path(".snakemake/metadata")


@dataclass(frozen=True)
class Cost:
    """The cost of one job; None where it is unknown."""

    rule: str
    started: float | None = None  # s since 1970
    wall: float | None = None  # s
    cpu: float | None = None  # s
    peak: float | None = None  # MB


@dataclass(frozen=True)
class RuleCost:
    """The cost of all jobs of a rule."""

    rule: str
    jobs: int
    wall: float | None  # s, the median
    total: float | None  # s
    cpu: float | None  # s, of all
    peak: float | None  # MB, the largest


def read(rule: str, product: str, log: str) -> Cost:
    """The cost of the job that made `product`, paths relative to the project's folder."""
    record = _record(product)
    start, end = record.get("starttime"), record.get("endtime")
    wall = end - start if start and end else None
    found = re.search(COST, _tail(log))
    cpu, peak = (float(found[1]), float(found[2])) if found else (None, None)
    return Cost(rule, start, wall, cpu, peak)


def _record(product: str) -> dict[str, Any]:
    name = urlsafe_b64encode(product.encode()).decode()
    try:
        return dict(json.loads((METADATA / name).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def last_error(log: str) -> str:
    """The last error in the log of a job; empty if there is none."""
    lines = [line for line in _tail(log).splitlines() if "error:" in line]
    return lines[-1] if lines else ""


def _tail(log: str) -> str:
    try:
        with Path(log).open("rb") as stream:
            stream.seek(max(0, Path(log).stat().st_size - 8192))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def by_rule(costs: Iterable[Cost]) -> Iterator[RuleCost]:
    """Sums and medians over the jobs of each rule, in the order in which rules first appear."""
    grouped: dict[str, list[Cost]] = {}
    for cost in costs:
        grouped.setdefault(cost.rule, []).append(cost)
    for rule, jobs in grouped.items():
        wall = [c.wall for c in jobs if c.wall is not None]
        cpu = [c.cpu for c in jobs if c.cpu is not None]
        peak = [c.peak for c in jobs if c.peak is not None]
        yield RuleCost(
            rule,
            len(jobs),
            statistics.median(wall) if wall else None,
            sum(wall) if wall else None,
            sum(cpu) if cpu else None,
            max(peak, default=None),
        )
