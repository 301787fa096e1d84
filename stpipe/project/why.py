"""Why: say in sentences why a product will be rebuilt, or that it will not.

Snakemake decides; this asks it for a dry run and puts its reasons in the words of the project: which
parameter, which reference file, which code, with the values before and after.
"""

from __future__ import annotations

import json
import re
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configobj import ConfigObj

from stpipe.project import config, early_end, inputs
from stpipe.project.plan import load
from stpipe.registry import public_name

__all__ = ["explain"]


@dataclass(frozen=True)
class _Job:
    """One job of a dry run."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reason: str
    root: str


def explain(folder: str | Path, target: str) -> Iterator[str]:
    """One sentence for each reason to rebuild `target`.

    Raises
    ------
    StpipeError
        When Snakemake cannot plan for the target; UsageError when no rule makes it.
    """
    content = config.read(folder)
    config.require_current(folder)
    folder = Path(folder)
    asked = _within(folder, target)
    with config.inside(folder):
        jobs = _jobs(_dry_run(content, asked))
    if not jobs:
        yield f"{target} is up to date: inputs, parameters, references and code have not changed."
        return
    for job in jobs:
        if not job.reason.startswith("Input files updated by another job"):
            yield from (f"{job.rule}: {sentence}" for sentence in _sentences(folder, job))
    names = ", ".join(job.rule for job in jobs)
    yield f"To be run for {target}: {names}."


def _within(folder: Path, target: str) -> str:
    """The target as the Snakefile names it: relative to the project's folder."""
    here, there = folder.resolve(), Path(target).resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else target


def _dry_run(project: Mapping[str, Any], target: str) -> str:
    """What Snakemake would do for a target of the project in the current folder."""
    command = [
        *config.SNAKEMAKE,
        "--dry-run",
        "--nocolor",
        "--nolock",
        "--",
        target,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    if done.returncode:
        raise early_end.explained(text.splitlines(), load(project).products())
    return text


def _jobs(text: str) -> list[_Job]:
    """Jobs that have outputs, in the order in which they were printed."""
    found = []
    # Jobs of a group are indented one level more than others.
    for block in re.split(r"\n\s*(?=\[\w{3} \w{3} )", text):
        header = re.search(r"^\s*(?:local)?rule (\S+):$", block, re.MULTILINE)
        fields = dict(re.findall(r"^\s+(\w+): (.*)$", block, re.MULTILINE))
        if header and "output" in fields:
            root = re.search(r"root=([^,]+)", fields.get("wildcards", ""))
            read, made = (tuple(fields.get(n, "").split(", ")) for n in ("input", "output"))
            reason = fields.get("reason", "")
            found.append(_Job(header[1], read, made, reason, root[1] if root else ""))
    # Causes first: a job comes after those that it waits for.
    return sorted(found, key=lambda j: j.reason.startswith("Input files updated by another job"))


def _sentences(folder: Path, job: _Job) -> Iterator[str]:
    for reason in job.reason.split("; "):
        if reason.startswith("Missing output files"):
            files = reason.partition(": ")[2] or ", ".join(job.outputs)
            yield f"{files} {'are' if ', ' in files else 'is'} missing."
        elif reason.startswith("Params have changed"):
            yield from _what_changed(folder, job)
        elif reason.startswith("Updated input files"):
            yield f"its input changed: {reason.partition(': ')[2]}."
        elif reason.startswith("Set of input files has changed"):
            yield from _other_inputs(folder, job)
        elif reason.startswith("Code has changed"):
            yield "the rule's command in the Snakefile changed."
        elif not reason.startswith("Input files updated by another job"):
            yield f"{reason}."


def _other_inputs(folder: Path, job: _Job) -> Iterator[str]:
    """Which files the rule reads instead of which."""
    before, now = set(_recorded(folder, job.outputs[0]).get("input", ())), set(job.inputs)
    if gone := sorted(before - now):
        yield f"it reads {', '.join(gone)} no more."
    if new := sorted(now - before):
        yield f"it reads {', '.join(new)}, which it did not before."
    if before == now:
        yield "it reads its files in another order."


def _what_changed(folder: Path, job: _Job) -> Iterator[str]:
    """Compare the job file that made the product with the one that applies now."""
    params = _recorded_params(folder, job.outputs[0])
    before = _job_file(folder, next((p for p in params if p.endswith(".cfg")), None))
    plan = json.loads((folder / ".stflow/plan.json").read_text(encoding="utf-8"))
    rules = next(e["jobs"][job.root] for e in plan["exposures"] if job.root in e["jobs"])
    after = _job_file(folder, rules[job.rule]["job"])
    if before is None or after is None:
        yield "its parameters, references or code changed."
        return
    yield from _differences(before, after)
    with config.inside(folder):
        changed = {path: inputs.change(path) for path in rules[job.rule]["source"]}
    for path, now in changed.items():
        noted = any(p.startswith(f"{path}: ") for p in params)
        if now not in params if now else noted:
            yield f"the content of its input {path} changed."


def _recorded_params(folder: Path, output: str) -> list[str]:
    """What Snakemake noted of parameters of the rule when it made `output`."""
    return [p.strip("'\"") for p in _recorded(folder, output).get("params", [])]


def _recorded(folder: Path, output: str) -> Mapping[str, Any]:
    """What Snakemake noted of the rule when it made `output`."""
    name = urlsafe_b64encode(output.encode()).decode()
    try:
        found = json.loads((folder / ".snakemake/metadata" / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(found)


def _job_file(folder: Path, path: str | None) -> Mapping[str, Any] | None:
    if path is None or not (folder / path).is_file():
        return None
    return dict(ConfigObj(str(folder / path), interpolation=False, encoding="utf-8"))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old_job, new_job = before["job"], after["job"]
    for name in _changed(before, after) - {"job", "class"}:
        source = _section(new_job, "sources").get(name, "default")
        yield f"{name} changed from {before.get(name)} to {after.get(name)} ({source})."
    # Another folder is not a change: name and content count.
    old, new = _names(old_job), _names(new_job)
    for kind in _changed(old, new):
        files = old.get(kind, "none"), new.get(kind, "none")
        yield f"the {kind} reference changed from {files[0]} to {files[1]}."
    for kind in _changed(_section(old_job, "checksums"), _section(new_job, "checksums")):
        if old.get(kind) == new.get(kind):
            yield f"the content of {_section(new_job, 'references')[kind]} changed."
    for when in ("skipped", "skipped_after"):
        for name in _changed(_notes(old_job, when), _notes(new_job, when)):
            yield f"{name} is {'now' if name in _section(new_job, when) else 'no longer'} skipped."
    if public_name(before["class"]) != public_name(after["class"]):
        yield f"its class changed from {before['class']} to {after['class']}."
    if old_job["code"] != new_job["code"]:
        yield "the code of the step changed."
    if _section(old_job, "then") != _section(new_job, "then"):
        yield "a step that refines its product in place changed."


def _section(job: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a job; job files leave empty ones out."""
    section: Mapping[str, Any] = job.get(name, {})
    return section


def _names(job: Mapping[str, Any]) -> dict[str, str]:
    """The names of reference files by type."""
    return {kind: Path(path).name for kind, path in _section(job, "references").items()}


def _notes(job: Mapping[str, Any], when: str) -> dict[str, Any]:
    """Which steps were skipped, and why; the recorded names of their classes do not matter."""
    return {name: words[1:] for name, words in _section(job, when).items()}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    names = {*before, *after}
    return {name for name in names if before.get(name) != after.get(name)}
