"""Job: one rule of a Snakemake project for one kind of exposure, as a file.

A job file is a parameter file with a `[job]` section: the reference files that planning selected, the
steps that were left out on the way, where each parameter came from, and the fingerprint of the code.
The file's name holds the hash of all that decides the pixels, so it never changes once written, and a
rule whose job has another name is run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from configobj import ConfigObj

from stpipe import naming
from stpipe.core import no_product
from stpipe.core.inputs import opened
from stpipe.core.loading import import_class
from stpipe.core.products import Parts
from stpipe.core.recording import mark_skipped
from stpipe.core.step import Products, Step
from stpipe.parameters.settings import Configuration, Raw, Settings
from stpipe.project import inputs, integrity
from stpipe.references.selection import FixedResolver, Reference
from stpipe.system import folders
from stpipe.system.atomic import write_text

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = ["Job", "SkipNote", "read", "run", "save"]


class SkipNote(NamedTuple):
    """A step that was skipped: its class, the reason, and the source of `skip`."""

    target: str
    reason: str
    source: str = ""


@dataclass(frozen=True)
class Job:
    """What a rule does: a step, its parameters and everything else that decides the product."""

    name: str
    target: str
    parameters: Mapping[str, Any]
    sources: Mapping[str, str]
    references: Mapping[str, Reference]
    checksums: Mapping[str, str]
    skipped: Mapping[str, SkipNote] = field(default_factory=dict)  # by name
    skipped_after: Mapping[str, SkipNote] = field(default_factory=dict)
    code: str = ""
    python_path: tuple[str, ...] = ()
    pipelines: str = ""  # JSON: the pipelines around the step, for the record
    then: tuple[tuple[int, Job], ...] = ()  # steps that refine a product (by its index) in place
    before: tuple[Job, ...] = ()  # steps that run before, whose products stay in memory
    # For each argument of the step how many of the files are in its list; 0: not a list,
    # -1: all that are left.
    arguments: tuple[int, ...] = (0,)
    association_metadata: Mapping[str, str] = field(default_factory=dict)
    names: str = (
        ""  # root of the names of parts, as an association has it; empty: that of the product
    )

    @property
    def hash(self) -> str:
        """Hash of parameters, references, skipped steps and code, but not of their sources."""
        lines = [self.target, self.code]
        lines += [f"{k}={v!r}" for k, v in sorted(self.parameters.items())]
        for reference_type, reference in sorted(self.references.items()):
            lines.append(f"{reference.recorded_name} {self.checksums.get(reference_type)}")
        for notes in (self.skipped, self.skipped_after):
            lines += ["skipped", *(f"{name} {note.reason}" for name, note in notes.items())]
        lines += [f"{index} {job.hash}" for index, job in self.then]
        lines += [f"before {job.hash}" for job in self.before]
        lines += [f"arguments {self.arguments}"] if self.arguments != (0,) else []
        lines += [f"{path}: {value}" for path, value in self.association_metadata.items()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    @property
    def file_name(self) -> str:
        """Name of the job file."""
        return f"{self.name}-{self.hash}.cfg"

    def write(self, folder: Path) -> Path:
        """Write the job file unless it exists: a running job may be reading it."""
        path = folder / self.file_name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(path, self.text())
        return path

    def text(self) -> str:
        """The job file."""
        content = ConfigObj(interpolation=False, list_values=True)
        content.initial_comment = [
            "# Written by stflow; its name contains its hash. Do not edit it."
        ]
        content.update(self.sections())
        return "\n".join(content.write()) + "\n"

    def sections(self) -> dict[str, Any]:
        """The job as nested sections."""
        about = {
            "code": self.code,
            "python_path": list(self.python_path),
            "references": {t: str(r.path or "N/A") for t, r in self.references.items()},
            "contexts": {t: r.context for t, r in self.references.items()},
            "origins": {t: r.origin for t, r in self.references.items()},
            "checksums": dict(self.checksums),
            "skipped": {k: list(v) for k, v in self.skipped.items()},
            "skipped_after": {k: list(v) for k, v in self.skipped_after.items()},
            "pipelines": self.pipelines,
            "sources": {n: s for n, s in self.sources.items() if s != "default"},
            "then": {f"{j.name} {i}": {"product": i, **j.sections()} for i, j in self.then},
            "before": {j.name: j.sections() for j in self.before},
            "arguments": list(map(str, self.arguments)),
            "association_metadata": dict(self.association_metadata),
            "names": self.names,
        }
        filled = {k: v for k, v in about.items() if v or (isinstance(v, str) and k != "names")}
        # All parameters, also None: a job has no other source of them.
        return {"name": self.name, "class": self.target, **self.parameters, "job": filled}


def read(configuration: Configuration) -> Settings:
    """The settings of a job file, each value with the source that planning noted."""
    sources = (configuration.job or {}).get("sources", {})
    given = configuration.settings.values
    return Settings({n: Raw(raw.value, sources.get(n, "default")) for n, raw in given.items()})


def run(step: Step, job: Mapping[str, Any], sources: Sequence[str | Path]) -> Any:
    """Run a job's steps on files, with its references and its notes of skipped steps."""
    inputs.note(Path(source) for source in sources if not integrity.is_product(source))
    before = list(job.get("before", {}).values())
    reads = before[0]["job"] if before else job  # the files are what the first step takes
    arguments = _arguments(sources, [int(n) for n in reads.get("arguments", "0")])
    for section in before:
        inner = _step(section)
        inner.use(chained=True)
        made = _run(inner, section["job"], *arguments)
        arguments = [made[0] if isinstance(made, Products) else made]
    return _run(step, job, *arguments)


def save(step: Step, result: Any, source: str | Path, ends: Sequence[str] = ()) -> None:
    """Write the products of a job, or files that state why there is none, and record their checksums.

    `ends` are the ends of the names of products that parameters ask for: `fitopt.fits`.
    """
    paths = [*step.save(result), *(_nothing(step, source) if step.why_nothing else ())]
    paths += [*step.saved_aside, *_not_made(step, source, ends)]
    indices = {path.with_name(folders.INDEX) for path in paths}
    integrity.record([*paths, *(index for index in indices if index.is_file())])


def _nothing(step: Step, source: str | Path) -> Iterator[Path]:
    """Files without data, or empty folders, for the products that a step has not made."""
    products = step.products("", {})
    for number, output in enumerate(products):
        exact, folder = step.output_file, Path(step.output_dir or "")
        if output.many:
            with folders.replacing(folder / str(exact)) as empty:
                folders.write_index(empty, [])
            yield folder / str(exact) / folders.INDEX
            continue
        beside = products[0].suffix if number else None
        path = naming.output_path(
            source,
            output.suffix,
            extension=output.extension,
            output_dir=folder,
            output_file=exact,
            beside=beside,
        )
        yield no_product.mark(step, source, path, step.why_nothing)


def _not_made(step: Step, source: str | Path, ends: Sequence[str]) -> Iterator[Path]:
    """Files for products that a parameter asked for and the step did not make."""
    folder, root = Path(step.output_file or "").parent, _root(step)
    for path in (folder / f"{root}_{end}" for end in ends):
        if path not in step.saved_aside:
            reason = step.why_nothing or "the step makes no such product of this exposure"
            yield no_product.mark(step, source, path, reason)


def _root(step: Step) -> str:
    """The root of the names of a job's products."""
    product = Path(step.output_file or "")
    return naming.split(product, frozenset(o.suffix for o in step.products("", {}))).root


def _arguments(sources: Sequence[str | Path], sizes: Sequence[int]) -> list[Any]:
    """The arguments of a step: models, and lists of files, with the files of folders."""
    rest, found = list(sources), []
    for size in sizes:
        count = len(rest) if size < 0 else size or 1
        taken, rest = rest[:count], rest[count:]
        found.append([f for t in taken for f in _files(Path(t))] if size else _opened(taken[0]))
    return found


def _files(path: Path) -> list[Path]:
    found = folders.files(path) if path.is_dir() else [path]
    return [file for file in found if not no_product.is_marked(file)]


def _opened(path: str | Path) -> DataModel | None:
    """A model; None if an earlier step made no product."""
    from stpipe import models

    return None if no_product.is_marked(path) else models.open(path)


def _run(step: Step, job: Mapping[str, Any], first: Any, *more: Any) -> Any:
    """Run one step on its input, and then those that refine its products."""
    _prepare(step, job)
    if not first:
        return step.run(None)
    if step.output_file:
        step.use(source=Path(f"{job.get('names') or _root(step)}.fits"))
    given: Any = opened(step, first)
    # "told" is the name in job files that were written before.
    for path, value in job.get("association_metadata", job.get("told", {})).items():
        given.set(path, value or None)
    _note_skipped(job.get("skipped", {}), [given])
    result = step.run(given, *more)
    made = list(result) if isinstance(result, Products) else [result]
    for section in job.get("then", {}).values():
        index = int(section["product"])
        refining = _step(section)
        refining.refining = True
        inner = section.get("job", {})
        _prepare(refining, inner)
        _note_skipped(inner.get("skipped", {}), [made[index]])
        made[index] = refining.run(made[index])
    _note_skipped(job.get("skipped_after", {}), made)
    return Products(result.names, made) if isinstance(result, Products) else made[0]


def _step(section: Mapping[str, Any]) -> Step:
    """A step as a section of a job describes it."""
    sources = section.get("job", {}).get("sources", {})
    values = {
        name: Raw(value, sources.get(name, "default"))
        for name, value in section.items()
        if name not in ("name", "class", "product", "job")
    }
    return import_class(section["class"]).from_settings(Settings(values), section["name"])


def _prepare(step: Step, job: Mapping[str, Any]) -> None:
    pipelines = tuple(json.loads(job.get("pipelines") or "[]"))
    resolver = FixedResolver(_references(job))
    step.use(resolver=resolver, pipelines=pipelines, own_names=False)


def _references(job: Mapping[str, Any]) -> dict[str, Reference]:
    contexts, origins = job.get("contexts", {}), job.get("origins", {})
    return {
        t: Reference(
            t,
            None if path == "N/A" else Path(path),
            contexts.get(t, ""),
            origins.get(t, "override"),
        )
        for t, path in job.get("references", {}).items()
    }


def _note_skipped(skipped: Mapping[str, Any], models: Iterable[Any]) -> None:
    """Record in models, or in every member of a library, which steps were skipped."""
    for name, words in skipped.items():
        note = SkipNote(*words)
        mark = partial(_mark, import_class(note.target).named(name), note)
        for model in models:
            if hasattr(model, "amend"):
                model.amend(mark)
            elif model is not None:
                for one in model if isinstance(model, Parts) else (model,):
                    mark(one)


def _mark(step: Step, note: SkipNote, model: DataModel) -> None:
    mark_skipped(step, model, note.reason, note.source)
