"""Plan: for every exposure of a project, which rules make which files from which, with which job.

A Snakefile loads the plan when it is read, and takes functions of wildcards from it. Exposures are
traced once (`stpipe.project.planner`) and remembered (`stpipe.project.plan_cache`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from stpipe import naming
from stpipe.errors import UsageError, did_you_mean
from stpipe.graph.nodes import ANY
from stpipe.project import inputs, integrity, lock, plan_cache, plan_snapshot
from stpipe.project.config import CONFIG, Project
from stpipe.project.fingerprint import at_once
from stpipe.project.offers import Offer, offered_by
from stpipe.project.planner import Entry, Planner
from stpipe.system import folders

__all__ = ["Plan", "freeze", "load", "select", "use_own_commands"]

log = logging.getLogger(__name__)


class ExtraRule(NamedTuple):
    """A rule that does not follow from the pipeline's definition, and its products by name.

    It runs a hook, saves an intermediate product, or makes one under another suffix than usual.
    """

    name: str
    outputs: tuple[tuple[str, str], ...]


@dataclass
class Plan:
    """The rules that each exposure, or product of an association, takes."""

    exposures: Sequence[Mapping[str, Any]]
    rules: set[str] = field(default_factory=set)
    selected: Mapping[str, lock.Selection] = field(default_factory=dict)  # where just traced
    around_mb: int = 0  # memory of what runs beside a step in its job
    # Set where parts have to be counted first: waits until all folders of parts are there.
    wait: Callable[[], Any] = lambda: None

    @cached_property
    def jobs(self) -> dict[str, dict[str, Entry]]:
        """What each rule does, by the root name of what it makes and the rule's name."""
        found: dict[str, dict[str, Entry]] = {}
        for exposure in self.exposures:
            for root, rules in exposure["jobs"].items():
                known = found.setdefault(root, {})
                if twice := known.keys() & rules.keys():
                    raise UsageError(
                        f"{root}: {', '.join(sorted(twice))} would be made for {exposure['source']} "
                        "and for another input, under the same names. Remove one of them."
                    )
                known.update(rules)
        return found

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """All jobs with the names of their rules."""
        return ((rule, entry) for rules in self.jobs.values() for rule, entry in rules.items())

    # --- for the Snakefile: functions of wildcards --------------------------------------------------

    def input(self, rule: str) -> Callable[[Any], Any]:
        """The exposure file that `rule` reads, or the files."""
        given = self._lookup(rule, "input")
        return lambda wildcards: self._counted(given(wildcards))

    def references(self, rule: str) -> Callable[[Any], list[str]]:
        """The reference files that `rule` reads."""
        return self._lookup(rule, "references")

    def others(self, rule: str) -> Callable[[Any], list[str]]:
        """What else has to be there before `rule` starts: marks of hooks, exposures to subtract."""
        return self._lookup(rule, "others")

    def group(self, rule: str) -> Callable[[Any], str]:
        """Jobs with the same name that depend on each other may run as one on a cluster."""
        return self._lookup(rule, "group")

    def job(self, rule: str) -> Callable[[Any], str]:
        """The job file of `rule`: its name stands for parameters, references and code."""
        return self._lookup(rule, "job")

    def source(self, rule: str) -> Callable[[Any], str]:
        """The files that the job of `rule` is given, quoted for a shell."""
        given = self._lookup(rule, "source")
        return lambda wildcards: shlex.join(self._expanded(given(wildcards)))

    def content(self, rule: str) -> Callable[[Any], str]:
        """Which of the inputs that `rule` reads hold something else than when they were first read."""
        given = self._lookup(rule, "source")

        def changed(wildcards: Any) -> str:
            raw = (path for path in given(wildcards) if path not in self._made)
            return "; ".join(filter(None, map(inputs.change, raw)))

        return changed

    def changed_inputs(self) -> list[str]:
        """Inputs whose content is not what products were made from."""
        raw = {p for _, entry in self.entries() for p in entry["source"] if p not in self._made}
        return sorted(path for path in raw if Path(path).is_file() and inputs.is_changed(path))

    @cached_property
    def _made(self) -> frozenset[str]:
        return frozenset(self.products())

    def mem_mb(self, rule: str) -> Callable[[Any, int], int]:
        """Memory that `rule` needs; twice as much each time that it is tried again."""
        needed = self._lookup(rule, "mem_mb")
        return lambda wildcards, attempt: (needed(wildcards) + self.around_mb) << (attempt - 1)

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
        if root not in self.jobs and (part := self._part(root)) is not None:
            return part[rule]
        if root not in self.jobs:
            raise UsageError(
                f'the project has no exposure "{root}"{did_you_mean(root, self.jobs)}; '
                "inputs are listed in config/config.yaml."
            )
        rules = self.jobs[root]
        if rule not in rules:
            raise UsageError(
                f"exposure {root} does not take the step {rule}; it takes {', '.join(rules)}."
            )
        return dict(rules[rule])

    # --- parts whose number only pixels tell --------------------------------------------------------

    @cached_property
    def _uncounted(self) -> dict[str, str]:
        """The folder of parts behind each root name that stands for all of them."""
        return {root: folder for e in self.exposures for root, folder in e["parts"].items()}

    def uncounted_folders(self) -> list[str]:
        """Folders whose number of parts is known only once they exist."""
        return list(dict.fromkeys(self._uncounted.values()))

    def _part(self, root: str) -> dict[str, Entry] | None:
        """The rules of one part, from what all parts of its exposure have in common."""
        for common in self._uncounted:
            pattern = re.escape(common).replace(re.escape(ANY), ".+")
            if re.fullmatch(pattern, root, re.DOTALL) and common in self.jobs:
                text = json.dumps(self.jobs[common])
                rules: dict[str, Entry] = json.loads(text.replace(_in_json(common), _in_json(root)))
                return rules
        return None

    def _counted(self, paths: str | list[str]) -> str | list[str]:
        """Paths with a file for each part in the place of the one that stands for all."""
        listed = [paths] if isinstance(paths, str) else paths
        if any(common in path for path in listed for common in self._uncounted):
            self.wait()
            return self._expanded(listed)
        return paths

    def _expanded(self, paths: Iterable[str]) -> list[str]:
        return [one for path in paths for one in self._each(path)]

    def _each(self, path: str) -> list[str]:
        for common, folder in self._uncounted.items():
            if common in path and Path(folder).is_dir():
                whole = re.sub(rf"[-_]{re.escape(ANY)}", "", common)
                end = f"{Path(folder).name.removeprefix(whole)}."
                names = [f.name.rpartition(end)[0] for f in folders.files(Path(folder))]
                # Without any part, the folder itself states that there is none.
                return [path.replace(common, name) for name in names] or [folder]
        return [path]

    # --- for the Snakefile: what it makes -----------------------------------------------------------

    def is_kept(self, rule: str) -> bool:
        """Whether the products of `rule` are kept when nothing needs them any more."""
        return rule not in self._temporary

    @cached_property
    def _temporary(self) -> set[str]:
        return {rule for rule, entry in self.entries() if not entry["keep"]}

    def extra_rules(self) -> list[ExtraRule]:
        """Rules that the pipeline's own steps do not have."""
        found = {
            ExtraRule(rule, tuple(entry["extra"].items())): None
            for rule, entry in self.entries()
            if entry["extra"]
        }
        return list(found)

    def side_products(self, rule: str) -> dict[str, str]:
        """Products of `rule` that parameters ask for, of any exposure, with a wildcard for its root."""
        found: dict[str, str] = {}
        for name, entry in self.entries():
            found |= entry["side"] if name == rule else {}
        return found

    def side(self, rule: str) -> str:
        """The option that names them for a job, by the ends of their names."""
        ends = [path.partition("{root}_")[2] for path in self.side_products(rule).values()]
        return f"--side-products={','.join(ends)}" if ends else ""

    def all(self) -> Callable[[Any], Any]:
        """What the pipeline returns or saves, for all exposures, as an input of a rule."""
        return self._awaiting(self.results())

    def results(self) -> list[str]:
        """The same as paths, in which one part may stand for all."""
        missing = {rule for rule, _ in self.entries()} - self.rules
        if missing and self.rules:
            raise UsageError(
                f"the Snakefile has no rule for {', '.join(sorted(missing))}: run stflow generate."
            )
        wanted = [path for exposure in self.exposures for path in exposure["results"]]
        # What was set aside is rebuilt, even if nothing else needs it.
        return [*wanted, *sorted(integrity.missing() & set(self.products()) - set(wanted))]

    def kept_products(self) -> list[str]:
        """Every file that stays when a run has ended."""
        return [
            path
            for _, entry in self.entries()
            for name, path in entry["outputs"].items()
            if entry["keep"] or name in entry["side"]
        ]

    def products(self) -> list[str]:
        """Every file that any rule makes."""
        return [path for _, entry in self.entries() for path in entry["outputs"].values()]

    def targets(self, arguments: Iterable[str]) -> dict[str, Callable[[Any], Any]]:
        """Products behind arguments of a command line that are patterns or an expanded pattern.

        `snakemake cal/*.fits` arrives as the pattern itself while nothing is there for the shell to
        expand, and as the list of existing files later; both mean everything that matches.
        """
        given = list(dict.fromkeys(arguments))
        found = {a: self._matching(a) for a in given if set(a) & set("*?[") and "=" not in a}
        existing = [p for p in given if naming.split(p).extension and Path(p).is_file()]
        whole = set(existing) == set(_siblings(existing[0])) if existing else False
        results = self.results() if whole else []
        left = self._left_over(existing)
        found |= dict.fromkeys((*existing[: int(whole)], *left), results)
        wanted = {a: paths for a, paths in found.items() if paths or a in left}
        return {argument: self._awaiting(paths) for argument, paths in wanted.items()}

    def _left_over(self, existing: Sequence[str]) -> list[str]:
        """Files that no rule makes any more: of steps that are skipped now, or exposures taken out."""
        made = {os.path.normpath(path) for path in self.products()}
        own = {os.path.normpath(path) for _, e in self.entries() for path in e["source"]}
        found = [p for p in existing if os.path.normpath(p) not in made | own]
        if found:
            count = "1 file is" if len(found) == 1 else f"{len(found)} files are"
            log.warning("%s left over, made by no rule any more: %s", count, ", ".join(found[:5]))
        return found

    def _awaiting(self, paths: list[str]) -> Callable[[Any], Any]:
        return lambda _wildcards: self._counted(paths)

    def _matching(self, pattern: str) -> list[str]:
        import fnmatch

        relative = os.path.relpath(pattern)
        # As in a shell, a star stays within one folder.
        regex = re.compile(fnmatch.translate(relative).replace(".*", "[^/]*"))
        # Intermediate products follow from the results and need no mention, marks of hooks do. Who
        # asks for the images of an exposure (cal/*.fits) wants the catalogue of their sources, too.
        results = [
            path
            for exposure in self.exposures
            if any(regex.match(path) for path in exposure["results"])
            for path in exposure["results"]
            if regex.match(path) or path.endswith((".passed", *naming.TABLES))
        ]
        return results or [path for path in self.products() if regex.match(path)]


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def freeze() -> None:
    """Let the jobs that this run starts on a cluster follow its plan, whatever is edited later."""
    plan_snapshot.freeze(plan_cache.CACHE)


def use_own_commands() -> None:
    """Put the commands installed beside this Python first on the PATH of every job."""
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])


def _siblings(path: str) -> list[str]:
    folder, slash, _ = path.rpartition("/")
    return [f"{folder}/{p.name}" for p in Path(folder).glob("*.fits")] if slash else []


# --- making a plan ---------------------------------------------------------------------------------


def select(config: Mapping[str, Any]) -> dict[str, lock.Selection]:
    """The reference files selected now for every exposure, whatever is cached or recorded."""
    project = Project.from_config(config)
    project.use_crds()
    planner = Planner(project)
    offered: dict[str, Offer] = {}
    with at_once():
        for source in project.exposures():
            for exposure in planner.plan(source, offered):
                offered.update(offered_by(exposure))
    return planner.selected


def load(config: Mapping[str, Any]) -> Plan:
    """The plan of the project in the working directory; exposures are traced if something changed.

    A job on a cluster, which reads the Snakefile again, gets the plan of the run that it is part of.
    """
    if (content := plan_snapshot.plan()) is not None:
        return Plan(content["exposures"], around_mb=config.get("job_overhead_mb", 0))
    project = Project.from_config(config)
    project.use_crds()
    remembered = plan_cache.recall(project)
    planner = Planner(project)
    exposures: list[Mapping[str, Any]] = []
    offered: dict[str, Offer] = {}
    is_valid = plan_cache.Validity()
    with at_once():
        for source in project.exposures():
            plans = remembered.get(source, [])
            if not plans or not all(is_valid(p) and planner.agrees(p, offered) for p in plans):
                plans = planner.plan(source, offered)
            exposures += plans
            for exposure in plans:
                offered.update(offered_by(exposure))
    _refuse_same_names(exposures)
    if planner.selected:
        lock.check_and_record(project, planner.selected)
    if planner.selected or sum(map(len, remembered.values())) != len(exposures):
        plan_cache.remember(project, exposures)
    if not exposures:
        log.warning("%s lists no exposures: there is nothing to do.", CONFIG)
    around_mb = config.get("job_overhead_mb", 0)
    return Plan(exposures, selected=planner.selected, around_mb=around_mb)


def _refuse_same_names(exposures: Iterable[Mapping[str, Any]]) -> None:
    """Refuse exposures of one name; a product may have that of an exposure it is made of."""
    known: dict[tuple[str, str], Mapping[str, Any]] = {}
    for exposure in exposures:
        root = exposure["root"]
        for rule in exposure["jobs"][root]:
            if (before := known.setdefault((root, rule), exposure)) is not exposure:
                raise UsageError(
                    f"two exposures have the name {root}: {before['source']} and "
                    f"{exposure['source']}. Their products would overwrite each other; rename one."
                )
