"""Planning: one exposure's traced graph as jobs of rules, with the names of all files.

Nothing here reads pixels. Shell hooks become nodes (`stpipe.project.hook_rules`), steps between
products that are not kept become one job (`stpipe.project.fusion`), and each node becomes an entry:
what its rule reads and makes for this exposure, and the job file that says how.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stpipe import hooks, naming
from stpipe.core.associations import Assignment, assignments, takes_other_members
from stpipe.core.step import Step
from stpipe.errors import InputError, UsageError
from stpipe.graph.nodes import Member, Node, Part, Place, Refinement, SkippedStep, stands_for_all
from stpipe.graph.tracing import Graph, ModelPlaceholder, PlaceholderList, member_of, trace_many
from stpipe.models.associations import Association, load_association
from stpipe.models.user_models import extension_of
from stpipe.parameters.settings import Settings
from stpipe.project import job, lock
from stpipe.project.config import Project
from stpipe.project.fingerprint import files_of_function, fingerprint, fingerprint_of, source_files
from stpipe.project.fusion import Run, runs
from stpipe.project.hook_rules import files_of, interpose
from stpipe.project.offers import Made, offers
from stpipe.project.plan_cache import state
from stpipe.project.steps import HookStep, LookStep, SaveStep
from stpipe.project.unsupported import refuse
from stpipe.references.checksums import sha256
from stpipe.references.crds import CrdsResolver
from stpipe.references.selection import FIXED_SLIT, Reference
from stpipe.system.software import VERSION

__all__ = ["Entry", "Planner"]

PRODUCTS = "cal"
LOGS = "logs"
JOBS = Path(".stflow/jobs")
_MORE_MB = 10  # for each further step in one job
INTERPRETER_MB = 45  # resident, with numpy and what a job imports

# One rule for one exposure: input, source, outputs, job, references, others, mem_mb, keep, extra and
# group.
Entry = dict[str, Any]


class Planner:
    """Traces exposures; the pipeline is imported when the first one needs it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.selected: dict[str, lock.Selection] = {}  # of the exposures that were traced
        self._resolver = project.resolver()
        self._settings: dict[type[Step], Settings] = {}
        self._pending = frozenset[str]()  # members of the association that other plans make

    def plan(self, source: str, made: Made | None = None) -> list[dict[str, Any]]:
        """Everything that the project does to one exposure or association; by product of stage 2.

        `made` has what other plans make, by file name: members of an association may be among it.
        """
        if source.endswith(".json"):
            return self._plan_association(source, made or {})
        if not self._one_by_one:
            raise InputError(f"{source}: {self.project.stages[0]} takes associations (.json).")
        # The stage that uses what a header names may be a later one.
        own = {
            cls: self._settings_with(a, cls)
            for cls in self._one_by_one
            for a in assignments(cls, source)
        }
        return [self._plan([member_of(source)], source, self._one_by_one, own=own)]

    def agrees(self, plan: Mapping[str, Any], made: Made) -> bool:
        """Whether a remembered plan goes as far as it has to, and takes what other plans make now."""
        taken = sorted(self._claimed & {Path(p).name for p in plan["offers"]})
        prepared = sorted(made.keys() & set(plan["listed"]))
        return (taken, prepared) == (plan["taken"], plan["prepared"])

    @cached_property
    def _pipelines(self) -> list[type[Step]]:
        found = self.project.pipelines()
        if isinstance(self._resolver, CrdsResolver):
            types = frozenset[str]().union(*(cls.all_reference_types() for cls in found))
            self._resolver.expect(t for t in types if not t.startswith(FIXED_SLIT))
        return found

    @cached_property
    def _one_by_one(self) -> list[type[Step]]:
        """Pipelines that take exposures one by one."""
        return [p for p in self._pipelines if not p.takes_many]

    def _is_one_by_one(self, association: Association) -> bool:
        """Whether the products of an association are made one by one."""
        many = [p for p in self._pipelines if p.takes_many]
        return not many or (association.is_of_stage_2 and bool(self._one_by_one))

    @cached_property
    def _claimed(self) -> frozenset[str]:
        """Files that such associations take; what is made of them, they say."""
        sources = (s for s in self.project.exposures() if s.endswith(".json"))
        found = (a for a in map(load_association, sources) if self._is_one_by_one(a))
        return frozenset(m.path.name for association in found for m in association.members)

    def _settings_of(self, cls: type[Step]) -> Settings:
        if cls not in self._settings:
            self._settings[cls] = self.project.settings(cls)
        return self._settings[cls]

    def _settings_with(self, assignment: Assignment, cls: type[Step]) -> Settings:
        """The settings of a stage, and below them what an exposure or its association says."""
        return self._settings_of(cls).over(assignment.settings)

    def _plan_association(self, source: str, made: Made) -> list[dict[str, Any]]:
        association = load_association(source)
        names = sorted({m.path.name for m in association.members})
        listed = {"listed": names, "prepared": [n for n in names if n in made]}
        if self._is_one_by_one(association):
            return [plan | listed for plan in self._plan_assignments(association, source, made)]
        stages = [p for p in self._pipelines if p.takes_many]
        wanted = stages[0].member_types
        paths = [m.path for m in association.members if not wanted or m.exptype in wanted]
        if missing := [str(p) for p in paths if p.name not in made and not p.is_file()]:
            raise InputError(
                f"{source}: there is no file {', '.join(missing)}, and no stage before makes it."
            )
        members = [made[p.name].member() if p.name in made else member_of(p) for p in paths]
        self._pending = frozenset(str(made[name].path) for name in listed["prepared"])
        (run,) = assignments(stages[0], association, made)
        own = {stages[0]: self._settings_with(run, stages[0])}
        name = association.products[0].name
        return [self._plan(members, source, stages, name, own=own) | listed]

    def _plan_assignments(
        self, association: Association, source: str, made: Made
    ) -> list[dict[str, Any]]:
        """The plan of each product of an association of stage 2, from the stage that uses it on."""
        later = self._stages_of(association, made)
        members = (m.path.name for m in association.members)
        self._pending = frozenset(str(made[name].path) for name in members if name in made)
        runs = assignments(later[0], association, made)
        return [self._plan_assignment(run, source, later, made) for run in runs]

    def _stages_of(self, association: Association, made: Made) -> Sequence[type[Step]]:
        """Stages from the one that uses members on, which comes after those that make them."""
        stages = self._one_by_one
        uses = (n for n, cls in enumerate(stages) if takes_other_members(cls))
        after = (made[m.path.name].stage + 1 for m in association.members if m.path.name in made)
        if found := stages[max([next(uses, 0), *after]) :]:
            return found
        raise InputError(
            f"{association.path}: a member is a product of {self.project.stages[-1]}, after which "
            "there is no stage. List what comes before it, or give the stage with --pipeline."
        )

    def _plan_assignment(
        self, assignment: Assignment, source: str, stages: Sequence[type[Step]], made: Made
    ) -> dict[str, Any]:
        first, name = stages[0], Path(assignment.source).name
        member = made[name].member() if name in made else member_of(assignment.source)
        member = replace(
            member,
            root=assignment.name or member.root,
            association_metadata=assignment.association_metadata,
        )
        own = {first: self._settings_with(assignment, first)}
        return self._plan([member], source, stages, own=own)

    def _plan(
        self,
        members: Sequence[Member],
        source: str,
        stages: Sequence[type[Step]],
        name: str = "",
        own: Mapping[type[Step], Settings] | None = None,
    ) -> dict[str, Any]:
        """The plans of stages, each on what the one before makes; some with settings of their own."""
        template = name or members[0].root
        root = naming.of_part(template, "")
        jobs: dict[str, dict[str, Entry]] = {root: {}}
        found: dict[str, Any] = {"source": source, "root": root, "jobs": jobs}
        found["origin"] = str(members[0].origin)
        found |= {"parts": {}, "offers": {}}
        found |= {name: [] for name in ("results", "taken", "listed", "prepared")}
        files = [source, *(str(member.origin) for member in members)]
        for cls in stages:
            pipeline = cls.from_settings((own or {}).get(cls) or self._settings_of(cls))
            pipeline.use(resolver=self._resolver, pending=self._pending)
            graph = trace_many(pipeline, members, template)
            refuse(pipeline)
            interpose(graph)
            namer = _Namer(graph, self.project.absolute_python_path)
            self._add_jobs(jobs, graph, namer)
            self.selected[root] = {**self.selected.get(root, {}), **_selected(graph, pipeline)}
            files += [str(r.path) for r in pipeline.parameter_files.values() if r.path]
            found["results"] += _results(graph, jobs, namer)
            found["parts"] |= _uncounted(graph, namer)
            members = [_offered(r, namer, members[0]) for r in graph.results[:1]] or members
            paths = [namer.of(r.places[0]) for r in graph.results]
            found["offers"] |= offers(graph.results, paths, self._pipelines.index(cls))
            if taken := sorted(self._claimed & {Path(p).name for p in found["offers"]}):
                found["taken"] = taken
                break  # an association says what comes next
        _refuse_same_names(jobs, source)
        _refuse_awkward_names(jobs, source)
        files += [f for rules in jobs.values() for e in rules.values() for f in e.pop("files")]
        found["results"] = list(dict.fromkeys(found["results"]))
        return found | {"depends_on": {f: state(f) for f in files}}

    def _add_jobs(self, jobs: dict[str, dict[str, Entry]], graph: Graph, namer: _Namer) -> None:
        """Entries by the root of what they make and the name of their rule."""
        for run in runs(graph, self.project.fuses):
            rules = jobs.setdefault(run.last.root, {})
            name = _unused(rules, _rule_name(run.last), graph.source)
            rules[name] = self._entry(run, namer)
        for product, suffix in graph.saves:
            rules = jobs.setdefault(product.root, {})
            name = _unused(rules, f"save_{suffix}", graph.source)
            rules[name] = _save_entry(product, suffix, namer)

    def _entry(self, run: Run, namer: _Namer) -> Entry:
        node = run.last
        outputs = {p.name: namer.made_by(node, i) for i, p in enumerate(node.products)}
        references = [path for n in run.nodes for path in _reference_files(n)]
        waits = [namer.made_by(n, 0) for member in run.nodes for n in member.waits_for]
        waits += [path for n in run.nodes for path in _pending(n)]
        keep = isinstance(node.step, LookStep) or self.project.keeps(_rule_of(node.name))
        side = {o.name: f"{PRODUCTS}/{node.root}_{o.suffix}{o.extension}" for o in node.side}
        is_result = any(maker is node for r in namer.graph.results for maker, _ in r.places)
        # The rules that follow from the pipeline's definition do not make these products.
        is_extra = isinstance(node.step, HookStep) or _is_renamed(node)
        outputs |= side
        return {
            **namer.reads(run.first.inputs),
            "outputs": outputs,
            "job": str(_run_job(run, namer).write(JOBS)),
            "references": list(dict.fromkeys(references)),
            "others": list(dict.fromkeys(waits)),
            "mem_mb": _mem_mb(namer.graph, [n.step for n in run.nodes]),
            "keep": keep or is_result,
            "extra": _patterns(outputs, node.root) if is_extra else {},
            "side": _patterns(side, node.root),
            "group": namer.group,
            "files": [*references, *(str(f) for n in run.nodes for f in _code_files(n))],
        }


def _patterns(outputs: Mapping[str, str], root: str) -> dict[str, str]:
    """Products with a wildcard for the root of their names."""
    paths = {name: Path(path) for name, path in outputs.items()}
    return {n: f"{p.parent}/{{root}}{p.name.removeprefix(root)}" for n, p in paths.items()}


def _is_renamed(node: Node) -> bool:
    """Whether the input's model or a parameter gives a product another name than usual."""
    usual = [(output.suffix, output.many) for output in node.step.usual_products()]
    made = [(product.suffix, product.many) for product in node.products]
    return not isinstance(node.step, HookStep) and made != usual


def _selected(graph: Graph, pipeline: Step) -> lock.Selection:
    """Every reference and parameter file of an exposure that the user did not give."""
    groups = [n.references for n in graph.nodes]
    groups += [r.references for n in graph.nodes for r in n.refinements]
    found: dict[str, tuple[str, str]] = {}
    for group in (*groups, pipeline.parameter_files):
        found |= lock.selection(group)
    return found


# --- names -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Namer:
    """Paths of the files of one exposure or association."""

    graph: Graph
    python_path: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """What a cluster may run as one job: not all exposures of an association."""
        if any(_pending(node) for node in self.graph.nodes):
            return "product"  # of several exposures, which otherwise would be one job
        return "association" if self.graph.pipeline.takes_many else "exposure"

    def made_by(self, node: Node, index: int) -> str:
        """A file or folder that a node makes; a hook that only inspects leaves a marker file."""
        product = node.products[index]
        if isinstance(node.step, LookStep):
            return f"{LOGS}/{node.root}_{product.suffix}.passed"
        return f"{PRODUCTS}/{node.root}_{product.suffix}{'' if product.many else product.extension}"

    def of(self, place: Place) -> str:
        """The file that a rule depends on for a place; for a part, the whole folder."""
        node, index = place
        if node is None:
            return str(self.graph.members[index].source)
        return self.of(node.inputs[0]) if isinstance(node, Part) else self.made_by(node, index)

    def file_of(self, place: Place) -> str:
        """The file, or folder of files, that a job reads."""
        node, _ = place
        if not isinstance(node, Part):
            return self.of(place)
        product = node.products[0]
        return f"{self.of(place)}/{node.root}_{product.suffix}{product.extension}"

    def reads(self, places: Sequence[Place]) -> Entry:
        """What a rule waits for, and the files that its job is given."""
        inputs = list(dict.fromkeys(self.of(place) for place in places))
        return {
            "input": inputs[0] if len(inputs) == 1 else inputs,
            "source": [self.file_of(place) for place in places],
        }


def _rule_of(step: str) -> str:
    return step.replace(".", "_")


def _rule_name(node: Node) -> str:
    """The step's name, followed by the suffix if it is not the usual one."""
    return _rule_of(node.name) + (f"_{node.products[0].suffix}" if _is_renamed(node) else "")


def _unused(rules: Mapping[str, Entry], rule: str, source: Path) -> str:
    if rule in rules:
        raise UsageError(
            f"{source}: the step {rule} runs twice and would write one file twice. List it in "
            "step_defs once for each use, with a suffix for each."
        )
    return rule


def _refuse_same_names(jobs: Mapping[str, Mapping[str, Entry]], source: str) -> None:
    made: dict[str, str] = {}
    for name, entry in ((n, e) for rules in jobs.values() for n, e in rules.items()):
        for path in entry["outputs"].values():
            if path in made:
                raise UsageError(
                    f"{source}: {made[path]} and {name} would both make {path}. Give one of the steps "
                    "another suffix."
                )
            made[path] = name


def _refuse_awkward_names(jobs: Mapping[str, Mapping[str, Entry]], source: str) -> None:
    """Refuse what Snakemake or the disk would stumble over when products have been made for hours."""
    names = [
        Path(path).name
        for rules in jobs.values()
        for e in rules.values()
        for path in e["outputs"].values()
    ]
    names += [f"{root}_{rule}.log" for root, rules in jobs.items() for rule in rules]
    for name in names:
        if odd := re.search(r"[{}\x00-\x1f\x7f]", name):
            raise InputError(
                f"{source}: the product {name!r} would have {odd[0]!r} in its name, which rules cannot "
                "have. Rename the exposure, or make a link of another name to it."
            )
        if (length := len(os.fsencode(name))) > naming.LONGEST:
            raise InputError(
                f"{source}: the product {name} would have a name of {length} bytes, allowed: "
                f"{naming.LONGEST}. Rename the exposure, or make a link of a shorter name to it."
            )


def _results(graph: Graph, jobs: Mapping[str, Any], namer: _Namer) -> list[str]:
    made = [place for r in graph.results for place in r.places if place[0] is not None]
    saved = [
        path
        for rules in jobs.values()
        for name, rule in rules.items()
        for output, path in rule["outputs"].items()
        if name.startswith("save_") or output in rule.get("side", ())
    ]
    waited = {id(n) for node in graph.nodes for n in node.waits_for}
    looks = [n for n in graph.nodes if isinstance(n.step, LookStep) and id(n) not in waited]
    marks = [namer.made_by(n, 0) for n in looks]
    return list(dict.fromkeys([*saved, *map(namer.of, made), *marks]))


def _names(node: Node, graph: Graph) -> str:
    """The root of the names of parts, if an association says where in it their labels go."""
    return graph.template if node.step.regroups and graph.template != graph.root else ""


def _uncounted(graph: Graph, namer: _Namer) -> dict[str, str]:
    """The folder of parts behind each root name that stands for all of them."""
    return {
        maker.root: namer.of(place)
        for node in graph.nodes
        for place in node.inputs
        if isinstance(maker := place[0], Part) and stands_for_all(maker.root)
    }


def _offered(result: ModelPlaceholder | PlaceholderList, namer: _Namer, first: Member) -> Member:
    """A result as the member that the next stage starts from."""
    return Member(
        Path(namer.of(result.places[0])), first.metadata, result.root, result.model, first.origin
    )


# --- jobs ------------------------------------------------------------------------------------------


def _run_job(run: Run, namer: _Namer) -> job.Job:
    """The job of a run of nodes: that of the last one, with those before it."""
    *before, last = (_node_job(node, namer) for node in run.nodes)
    return replace(last, before=tuple(before))


def _node_job(node: Node, namer: _Namer) -> job.Job:
    return replace(
        _job(node.step, node.references, namer),
        skipped=_notes(node.skipped_before),
        skipped_after=_notes(node.skipped_after),
        then=tuple((r.product, _refining_job(r, namer)) for r in node.refinements),
        arguments=node.arguments,
        names=_names(node, namer.graph),
        association_metadata=_association_metadata(node, namer.graph),
    )


def _association_metadata(node: Node, graph: Graph) -> Mapping[str, str]:
    """Metadata that the exposure gets from its association, if a node reads the exposure itself."""
    first, number = node.inputs[0]
    return graph.members[number].association_metadata if first is None else {}


def _refining_job(refinement: Refinement, namer: _Namer) -> job.Job:
    made = _job(refinement.step, refinement.references, namer)
    return replace(made, skipped=_notes(refinement.skipped_before))


def _job(step: Step, references: Mapping[str, Reference], namer: _Namer) -> job.Job:
    values = step.science_parameters()
    if "suffix" in vars(step):
        values["suffix"] = step.suffix  # it is in the product's record
    return job.Job(
        name=step.qualified_name,
        target=step.target(),
        parameters=values,
        sources={n: step.source_of(n) for n in values},
        references=references,
        checksums={t: sha256(r.path) for t, r in references.items() if r.path and not r.pending},
        code=" ".join([VERSION, fingerprint(type(step)), *_hook_prints(step)]),
        python_path=namer.python_path,
        pipelines=json.dumps(step.pipelines()),
    )


def _hook_prints(step: Step) -> Iterator[str]:
    """Fingerprints of Python hooks and of files that commands name, which count as code."""
    for hook in _hooks(step):
        if hooks.is_shell(hook):
            yield from (sha256(path)[:16] for path in files_of(hook))
        else:
            yield fingerprint_of(files_of_function(hooks.function(hook)))


def _hooks(step: Step) -> list[str]:
    own = [step.hook] if isinstance(step, HookStep) else [*step.pre_hooks, *step.post_hooks]
    return [hooks.text(hook) for hook in own]


def _code_files(node: Node) -> Iterator[Path]:
    """Every file whose content counts as code of a node's job."""
    for step in (node.step, *(r.step for r in node.refinements)):
        yield from source_files(type(step))
        for hook in _hooks(step):
            shell = hooks.is_shell(hook)
            yield from files_of(hook) if shell else files_of_function(hooks.function(hook))


def _reference_files(node: Node) -> Iterator[str]:
    for group in (node.references, *(r.references for r in node.refinements)):
        yield from (str(r.path) for r in group.values() if r.path and not r.pending)


def _pending(node: Node) -> list[str]:
    """Exposures that the step reads beside its input, and that other jobs make."""
    return [str(r.path) for r in node.references.values() if r.pending]


def _save_entry(product: ModelPlaceholder, suffix: str, namer: _Namer) -> Entry:
    made = job.Job(f"save_{suffix}", SaveStep.target(), {}, {}, {}, {}, code=VERSION)
    outputs = {"product": f"{PRODUCTS}/{product.root}_{suffix}{extension_of(product.model)}"}
    return {
        **namer.reads(product.places),
        "outputs": outputs,
        "job": str(made.write(JOBS)),
        "references": [],
        "others": [],
        "mem_mb": _mem_mb(namer.graph, [SaveStep()]),
        "keep": True,
        "extra": _patterns(outputs, product.root),
        "side": {},
        "group": namer.group,
        "files": [],
    }


def _notes(skipped: Iterable[SkippedStep]) -> dict[str, job.SkipNote]:
    return {
        s.step.qualified_name: job.SkipNote(s.step.target(), s.reason, s.step.skip_source(s.reason))
        for s in skipped
    }


def _mem_mb(graph: Graph, steps: Sequence[Step]) -> int:
    """Memory of a job: interpreter and libraries, and what its steps need; with a tenth to spare."""
    member = graph.members[0]
    meta = member.metadata.get
    names = ("exposure.nints", "exposure.ngroups", "subarray.ysize", "subarray.xsize")
    shape = tuple(int(meta(f"meta.{name}") or 1) for name in names)
    file_mb = member.origin.stat().st_size / 1e6
    needed = [step.memory_mb(shape, file_mb) for step in steps]
    # Steps in one job share most of what the largest needs.
    return int(1.1 * (INTERPRETER_MB + max(needed) + _MORE_MB * len(needed[1:])))
