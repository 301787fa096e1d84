"""Gather what the report of a project shows, and write the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stpipe import naming
from stpipe.errors import InputError, UsageError
from stpipe.project import config as project_config
from stpipe.project.plan import Plan, load
from stpipe.project.planner import Entry
from stpipe.project.report import costs, page
from stpipe.project.report.product import show
from stpipe.system import folders
from stpipe.system.atomic import write_text

__all__ = ["write"]

_MOST = 2000  # products on one page
_BUDGET = 40e6  # bytes of all pictures
_SMALLEST, _LARGEST = 64, 512  # pixels on the longer side of a picture


@dataclass(frozen=True)
class _Job:
    """One rule for one exposure."""

    root: str
    rule: str
    entry: Entry

    @property
    def log(self) -> str:
        return f"logs/{self.root}_{self.rule}.log"

    @property
    def products(self) -> list[str]:
        return list(self.entry["outputs"].values())


def write(folder: Path, output: Path, chosen: Sequence[str], *, everything: bool) -> Iterator[str]:
    """Write the page about the project in `folder`; yields lines for the user.

    It shows the products in `chosen`, or what the pipeline returns, or every product.

    Raises
    ------
    UsageError
        When a chosen file is not a product of the project, or nothing was made yet.
    """
    output = output.resolve()
    config = project_config.read(folder)
    with project_config.inside(folder):
        plan = load(config)
        wanted = _wanted(plan, chosen, everything=everything)
        made = [path for path in wanted if Path(path).is_file()]
        if not made:
            raise UsageError(f"{folder}: there are no products yet: run snakemake --cores 8 cal.")
        gathered = _gather(plan, config, wanted, made)
        text = page.render(gathered)
    write_text(output, text)
    yield f"{output}: {len(gathered.products)} of {len(wanted)} products, {len(text) / 1e6:.1f} MB"
    yield from (f"damaged: {sentence}" for sentence in gathered.damaged)


def _wanted(plan: Plan, chosen: Sequence[str], *, everything: bool) -> list[str]:
    kept = [p for _, entry in plan.entries() if entry["keep"] for p in entry["outputs"].values()]
    if unknown := sorted(set(chosen) - set(plan.products())):
        raise UsageError(f"not products of this project: {', '.join(unknown)}.")
    found = [file for p in (kept if everything else plan.results()) for file in _files(p)]
    # Marker files of hooks are results of the plan, but have nothing to show.
    return list(chosen) or [path for path in found if naming.split(path).extension]


def _files(path: str) -> list[str]:
    """A product, or the files of a folder of products."""
    folder = Path(path)
    return [str(file) for file in folders.files(folder)] if folder.is_dir() else [path]


def _gather(
    plan: Plan, config: Mapping[str, Any], wanted: Sequence[str], made: Sequence[str]
) -> page.Page:
    jobs = [_Job(root, rule, e) for root, rules in plan.jobs.items() for rule, e in rules.items()]
    read = (costs.read(job.rule, job.products[0], job.log) for job in jobs)
    found = [cost for cost in read if cost.started]
    order = _order(config)
    found.sort(key=lambda cost: order.get(cost.rule, len(order)))
    rules = list(costs.by_rule(found))
    stages = ", ".join(project_config.Project.from_config(config).stages)
    gathered = page.Page(stages, len(plan.exposures), len(wanted), rules)
    gathered.elapsed = _elapsed(found)
    gathered.missing = dict(_missing(jobs, wanted))
    gathered.left_out = max(0, len(made) - _MOST)
    shown = made[:_MOST]
    for path in shown:
        try:
            gathered.products.append(show(Path(path), _size(len(shown))))
        except InputError as error:
            gathered.damaged.append(str(error))
    return gathered


def _order(config: Mapping[str, Any]) -> dict[str, int]:
    """Places of rules in the pipeline's own order: no single exposure takes all of them."""
    pipelines = project_config.Project.from_config(config).pipelines()
    steps = (name for pipeline in pipelines for name, _ in project_config.all_steps(pipeline))
    return {name.replace(".", "_"): place for place, name in enumerate(steps)}


def _size(count: int) -> int:
    """Pixels on the longer side, so that all pictures together keep to the budget."""
    each = _BUDGET * 0.75 / (2 * count)  # base64 takes 4 bytes for 3; an image and a map
    return int(min(_LARGEST, max(_SMALLEST, math.sqrt(each))))


def _elapsed(found: Sequence[costs.Cost]) -> float | None:
    """Time from the first start to the last end, if all jobs ran in one go."""
    times = [(c.started, c.started + c.wall) for c in found if c.started and c.wall]
    return max(e for _, e in times) - min(s for s, _ in times) if times else None


def _missing(jobs: Sequence[_Job], wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each wanted product that is missing, with the error of the first job that failed for it."""
    errors: Mapping[str, str] = _errors(jobs)
    owner = {path: job.root for job in jobs for path in job.products}
    for path in wanted:
        if not Path(path).exists():
            yield path, errors.get(owner[path], "")


def _errors(jobs: Sequence[_Job]) -> dict[str, str]:
    """By exposure, the error of its first job whose product is missing."""
    found: dict[str, str] = {}
    for job in jobs:
        if job.root not in found and not Path(job.products[0]).exists():
            error = costs.last_error(job.log)
            if error:
                found[job.root] = f"{job.rule}: {error}"
    return found
