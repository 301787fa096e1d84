"""Plan: for every exposure of a project, which rules make which files from which, with which job.

A Snakefile loads the plan when it is read. Exposures are traced once and remembered in
`.stflow/plan.json`; whatever decides a product (header, parameters, references, code, rules of CRDS)
is compared by path, size and time, and what changed is traced again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import stpipe
from stpipe import job, layers, naming
from stpipe.errors import UsageError, did_you_mean
from stpipe.generate import frozen, lock
from stpipe.generate.fingerprint import fingerprint, source_files
from stpipe.generate.project import CONFIG, Project
from stpipe.generate.trace import Graph, Node, SkippedStep, Traced, trace
from stpipe.references import Reference, sha256
from stpipe.step import Step

__all__ = ["Plan", "freeze", "load", "select", "use_own_commands"]

log = logging.getLogger(__name__)

PRODUCTS = "cal"
CACHE = Path(".stflow/plan.json")
JOBS = Path(".stflow/jobs")
SAVE_STEP = "stpipe.steps.save:SaveStep"

Entry = dict[str, Any]  # one rule for one exposure: input, outputs, job, references, mem_mb
State = list[int]  # size and time of a file


@dataclass
class Plan:
    """The rules that each exposure takes, by the exposure's root name."""

    exposures: Mapping[str, Mapping[str, Any]]
    rules: set[str] = field(default_factory=set)
    selected: Mapping[str, lock.Selection] = field(default_factory=dict)  # where just traced

    # --- for the Snakefile: functions of wildcards --------------------------------------------------

    def input(self, rule: str) -> Callable[[Any], str]:
        """The exposure file that `rule` reads."""
        return self._lookup(rule, "input")

    def references(self, rule: str) -> Callable[[Any], list[str]]:
        """The reference files that `rule` reads."""
        return self._lookup(rule, "references")

    def job(self, rule: str) -> Callable[[Any], str]:
        """The job file of `rule`: its name stands for parameters, references and code."""
        return self._lookup(rule, "job")

    def mem_mb(self, rule: str) -> Callable[[Any, int], int]:
        """Memory that `rule` needs; twice as much each time that it is tried again."""
        needed = self._lookup(rule, "mem_mb")
        return lambda wildcards, attempt: int(needed(wildcards)) << (attempt - 1)

    def _lookup(self, rule: str, what: str) -> Callable[[Any], Any]:
        self.rules.add(rule)
        return lambda wildcards: self.entry(rule, wildcards.root)[what]

    def entry(self, rule: str, root: str) -> Entry:
        """What `rule` does to the exposure `root`.

        Raises
        ------
        UsageError
            When the project has no such exposure or the exposure does not take that step.
        """
        if root not in self.exposures:
            raise UsageError(
                f'the project has no exposure "{root}"{did_you_mean(root, self.exposures)}; '
                "inputs are listed in config/config.yaml."
            )
        rules = self.exposures[root]["rules"]
        if rule not in rules:
            raise UsageError(
                f"exposure {root} does not take the step {rule}; it takes {', '.join(rules)}."
            )
        return dict(rules[rule])

    def results(self) -> list[str]:
        """What the pipeline returns or saves, for all exposures."""
        missing = {r for e in self.exposures.values() for r in e["rules"]} - self.rules
        if missing and self.rules:
            raise UsageError(
                f"the Snakefile has no rule for {', '.join(sorted(missing))}: run stflow generate."
            )
        return [path for exposure in self.exposures.values() for path in exposure["results"]]

    def products(self) -> list[str]:
        """Every file that any rule makes."""
        return [
            path
            for exposure in self.exposures.values()
            for entry in exposure["rules"].values()
            for path in entry["outputs"].values()
        ]

    def saved_suffixes(self) -> list[str]:
        """Suffixes under which `process` saves products on the way."""
        names = (r for e in self.exposures.values() for r in e["rules"])
        return list(dict.fromkeys(n.removeprefix("save_") for n in names if n.startswith("save_")))

    def targets(self, arguments: Iterable[str]) -> dict[str, list[str]]:
        """Products behind arguments of a command line that are patterns or an expanded pattern.

        `snakemake cal/*.fits` arrives as the pattern itself while nothing is there for the shell to
        expand, and as the list of existing files later; both mean everything that matches.
        """
        given = list(dict.fromkeys(arguments))
        found = {a: self._matching(a) for a in given if set(a) & set("*?[") and "=" not in a}
        existing = [p for p in given if naming.split(p).extension and Path(p).is_file()]
        if len(existing) > 1 and existing == sorted(_siblings(existing[0]), key=str):
            found[existing[0]] = self.results()
        return {argument: paths for argument, paths in found.items() if paths}

    def _matching(self, pattern: str) -> list[str]:
        import fnmatch
        import re

        relative = os.path.relpath(pattern)
        # As in a shell, a star stays within one folder.
        regex = re.compile(fnmatch.translate(relative).replace(".*", "[^/]*"))
        matched = [p for p in self.products() if regex.match(p)]
        # Intermediate products follow from the results and need no mention.
        results = set(self.results())
        return [p for p in matched if p in results] or matched


def freeze() -> None:
    """Have the jobs that this run starts on a cluster follow its plan, whatever is edited later."""
    frozen.freeze(CACHE)


def use_own_commands() -> None:
    """Put the commands installed beside this Python first on the PATH of every job."""
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])


def _siblings(path: str) -> list[str]:
    folder, slash, _ = path.rpartition("/")
    return [f"{folder}/{p.name}" for p in Path(folder).glob("*.fits")] if slash else []


# --- making a plan ---------------------------------------------------------------------------------


def select(config: Mapping[str, Any]) -> dict[str, lock.Selection]:
    """What is selected now for every exposure, whatever was remembered or held."""
    project = Project.from_config(config)
    project.use_crds()
    planner = _Planner(project)
    for source in project.exposures():
        planner.plan(source)
    return planner.selected


def load(config: Mapping[str, Any]) -> Plan:
    """The plan of the project in the working directory, traced where something changed.

    A job on a cluster, which reads the Snakefile again, gets the plan of the run that it is part of.
    """
    if (content := frozen.plan()) is not None:
        return Plan({e["root"]: e for e in content["exposures"]})
    project = Project.from_config(config)
    project.use_crds()
    remembered = _remembered(project)
    planner = _Planner(project)
    exposures: dict[str, Any] = {}
    for source in project.exposures():
        exposure = remembered.get(source)
        if exposure is None or not _still_true(exposure):
            exposure = planner.plan(source)
        _add(exposures, exposure)
    if planner.used:
        lock.hold(project, planner.selected)
    if planner.used or len(remembered) != len(exposures):
        _remember(project, exposures)
    if not exposures:
        log.warning("%s lists no exposures: there is nothing to do.", CONFIG)
    return Plan(exposures, selected=planner.selected)


def _add(exposures: dict[str, Any], exposure: Mapping[str, Any]) -> None:
    root = exposure["root"]
    if root in exposures:
        raise UsageError(
            f"two exposures have the name {root}: {exposures[root]['source']} and "
            f"{exposure['source']}. Their products would overwrite each other; rename one."
        )
    exposures[root] = exposure


class _Planner:
    """Traces exposures; the pipeline is imported when the first one needs it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.selected: dict[str, lock.Selection] = {}  # of the exposures that were traced
        self._resolver = project.resolver()

    @property
    def used(self) -> bool:
        """Whether any exposure was traced."""
        return bool(self.selected)

    def plan(self, source: str) -> Entry:
        pipeline = self.project.pipeline_class().from_settings(self.project.settings())
        pipeline.resolver = self._resolver
        graph = trace(pipeline, source)
        _refuse_hooks(pipeline)
        namer = _Namer(naming.split(source).root, source, self.project.absolute_python_path)
        rules: dict[str, Entry] = {}
        for node in graph.nodes:
            rules[_rule_name(rules, node.name, source)] = _entry(node, namer)
        for product, suffix in graph.saves:
            rules[_rule_name(rules, f"save_{suffix}", source)] = _save_entry(product, suffix, namer)
        states = {f: _state(f) for r in rules.values() for f in r["references"]}
        states |= {str(r.path): _state(r.path) for r in pipeline.parameter_files.values() if r.path}
        self.selected[namer.root] = _selected(graph, pipeline)
        steps = {type(s) for n in graph.nodes for s in (n.step, *(r.step for r in n.refinements))}
        code = {str(f): _state(f) for s in steps for f in source_files(s)}
        return {
            "source": source,
            "root": namer.root,
            "rules": rules,
            "results": _results(graph, rules, namer),
            "depends_on": {source: _state(source), **states, **code},
        }


def _refuse_hooks(step: Step) -> None:
    """Hooks belong to steps here: a pipeline as a whole is no job that could run them."""
    if not step.step_defs:
        return
    if step.pre_hooks or step.post_hooks:
        first, last = next(iter(step.step_defs)), next(reversed(step.step_defs))
        raise UsageError(
            f"{step.name}: hooks of a whole pipeline cannot run in a project, where each step is a "
            f"job. Give them to a step: --steps.{first}.pre_hooks, --steps.{last}.post_hooks."
        )
    for name in step.step_defs:
        _refuse_hooks(getattr(step, name))


def _selected(graph: Graph, pipeline: Step) -> lock.Selection:
    """Every reference and parameter file of an exposure that its user did not put in."""
    groups = [n.references for n in graph.nodes]
    groups += [r.references for n in graph.nodes for r in n.refinements]
    found: dict[str, tuple[str, str]] = {}
    for group in (*groups, pipeline.parameter_files):
        found |= lock.selection(group)
    return found


@dataclass(frozen=True)
class _Namer:
    """Paths of one exposure's files."""

    root: str
    source: str
    python_path: tuple[str, ...] = ()

    def product(self, suffix: str) -> str:
        return f"{PRODUCTS}/{self.root}_{suffix}.fits"

    def of(self, place: tuple[Node | None, int]) -> str:
        node, index = place
        return self.source if node is None else self.product(node.products[index].suffix)


def _entry(node: Node, namer: _Namer) -> Entry:
    made = _job(node.step, node.references, namer)
    made = replace(
        made,
        skipped=_notes(node.skipped_before),
        skipped_after=_notes(node.skipped_after),
        then=tuple((r.product, _job(r.step, r.references, namer)) for r in node.refinements),
    )
    references = [node.references, *(r.references for r in node.refinements)]
    paths = [str(r.path) for group in references for r in group.values() if r.path]
    return {
        "input": namer.of(node.inputs[0]),
        "outputs": {p.name: namer.product(p.suffix) for p in node.products},
        "job": str(made.write(JOBS)),
        "references": list(dict.fromkeys(paths)),
        "mem_mb": _mem_mb(namer.source),
    }


def _job(step: Step, references: Mapping[str, Reference], namer: _Namer) -> job.Job:
    values = step.science_parameters()
    return job.Job(
        name=step.qualified_name,
        target=step.target(),
        parameters=values,
        sources={n: step.source_of(n) for n in values},
        references=references,
        checksums={t: sha256(r.path) for t, r in references.items() if r.path},
        code=f"{stpipe.__version__} {fingerprint(type(step))}",
        python_path=namer.python_path,
        pipelines=json.dumps(step.pipelines()),
    )


def _save_entry(product: Traced, suffix: str, namer: _Namer) -> Entry:
    made = job.Job(f"save_{suffix}", SAVE_STEP, {}, {}, {}, {}, code=stpipe.__version__)
    return {
        "input": namer.of((product.node, product.index)),
        "outputs": {"product": namer.product(suffix)},
        "job": str(made.write(JOBS)),
        "references": [],
        "mem_mb": _mem_mb(namer.source),
    }


def _rule_name(rules: Mapping[str, Entry], name: str, source: str) -> str:
    rule = name.replace(".", "_")
    if rule in rules:
        raise UsageError(
            f"{source}: the step {name} runs twice and would write one file twice. List it in "
            "step_defs once for each use, with a suffix for each."
        )
    return rule


def _notes(skipped: Iterable[SkippedStep]) -> dict[str, job.SkipNote]:
    return {
        s.step.qualified_name: job.SkipNote(s.step.target(), s.reason, s.step.skip_source(s.reason))
        for s in skipped
    }


def _results(graph: Graph, rules: Mapping[str, Entry], namer: _Namer) -> list[str]:
    returned = [namer.of((r.node, r.index)) for r in graph.results if r.node is not None]
    saved = [p for n, r in rules.items() if n.startswith("save_") for p in r["outputs"].values()]
    return list(dict.fromkeys([*saved, *returned]))


def _mem_mb(source: str) -> int:
    """Memory of a step that holds a ramp and its corrected copy as float32, beside the libraries."""
    pixels_mb = Path(source).stat().st_size / 2**20
    return int(300 + 10 * pixels_mb)


# --- remembering -----------------------------------------------------------------------------------


def _state(path: str | Path) -> State:
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns]


def _still_true(exposure: Mapping[str, Any]) -> bool:
    try:
        same = all(_state(path) == state for path, state in exposure["depends_on"].items())
    except OSError:
        return False
    return same and all(Path(entry["job"]).is_file() for entry in exposure["rules"].values())


def _key(project: Project) -> list[Any]:
    """What all exposures depend on; a change traces everything again."""
    rules = list(Path(project.references).glob("rules.*")) if project.references else []
    parts = (*project.parameters, *_pipeline_files(project), *map(str, rules))
    files = [p for p in parts if Path(p).is_file()]
    names = ("CRDS_PATH", "CRDS_CONTEXT", "CRDS_SERVER_URL", layers.SWITCH)
    crds = [os.environ.get(name) for name in names]
    states = [[p, *_state(p)] for p in files]
    where = [project.crds_context, project.references, crds]
    return [stpipe.__version__, project.pipeline, where, states]


def _pipeline_files(project: Project) -> Iterator[str]:
    yield from (str(f) for f in source_files(project.pipeline_class()))


def _remembered(project: Project) -> dict[str, Any]:
    """Planned exposures by source, or nothing when the cache is absent, unreadable or outdated."""
    try:
        content = json.loads(CACHE.read_text(encoding="utf-8"))
        if content["key"] != _key(project):
            return {}
        return {e["source"]: e for e in content["exposures"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(project: Project, exposures: Mapping[str, Any]) -> None:
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    partial = CACHE.with_suffix(f".{os.getpid()}.partial")
    content = {"key": _key(project), "exposures": list(exposures.values())}
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(CACHE)
