"""`strun`: run a step or a pipeline on exposures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.cli.common import arguments
from stpipe.cli.common.errors import guarded
from stpipe.errors import InputError, ParameterError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stpipe.core.step import Step
    from stpipe.graph.nodes import SkippedStep
    from stpipe.parameters.settings import Configuration, Settings
    from stpipe.references.selection import Reference, Resolver

__all__ = ["main"]


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of the command."""
    given = sys.argv[1:] if words is None else list(words)
    return guarded("strun", lambda: _main(given), debug="--debug" in given)


def _main(words: Sequence[str]) -> None:
    if words[:1] == ["--complete"]:
        from stpipe.cli.common import completion

        print("\n".join(completion.words_for_strun(words[1:])))
        return
    first = arguments.parse(words)
    if "version" in first.flags:
        _version()
    elif "list" in first.flags:
        _list(json="json" in first.flags)
    elif "completion" in first.options:
        from stpipe.cli.common import completion

        print(completion.script("strun", first.options["completion"]))
    elif first.target is None and "help" in first.flags:
        from stpipe.cli.strun import help as help_pages

        print(help_pages.of_command())
    else:
        _with_target(words, first)


def _version() -> None:
    from stpipe import plugins
    from stpipe.system.software import VERSION

    print(f"stpipe-flow {VERSION}")
    _warn_of_conflict(plugins.conflict())


def _warn_of_conflict(sentence: str) -> None:
    if sentence:
        print(f"strun: warning: {sentence}", file=sys.stderr)


def _list(*, json: bool) -> None:
    from stpipe.cli.strun import list as listing

    print(listing.as_json() if json else "\n".join(listing.lines()))


def _with_target(words: Sequence[str], first: arguments.Arguments) -> None:
    from stpipe.system import process

    target = _target(first)
    with process.loading():
        from stpipe.core import loading

        configuration = _configuration(target)
        cls = loading.load(_class_of(configuration, target))
    given = arguments.parse(words, lambda name: _takes_value(cls, name))
    inputs = given.inputs if target == given.target else given.positional
    request = _Request(cls, configuration, given, target, tuple(inputs))
    if "help" in given.flags:
        from stpipe.cli.strun import help as help_pages

        step = next((word for word in inputs if not _is_exposure(word)), "")
        print(help_pages.of_target(cls, target, step))
    else:
        request.carry_out()


def _target(first: arguments.Arguments) -> str:
    """The step or pipeline to run; with --like a product may name it."""
    product = first.options.get("like")
    if first.target is not None and not _is_exposure(first.target):
        return first.target
    if product:
        from stpipe.parameters import from_product

        return from_product.target_of(product)
    if first.target is None:
        raise UsageError("no target given. Try strun --help, or strun --list.")
    raise UsageError(
        f"{first.target} is an exposure; the step or pipeline comes first: "
        f"strun calwebb_detector1 {first.target}"
    )


def _is_exposure(word: str) -> bool:
    from stpipe.naming import ONLY_READ

    return word.lower().endswith((".fits", ".fits.gz", *ONLY_READ))


def _configuration(target: str) -> Configuration:
    from stpipe.parameters.readers import EXTENSIONS, read_cfg
    from stpipe.parameters.settings import Configuration, Settings

    return read_cfg(target) if target.endswith(EXTENSIONS) else Configuration(None, Settings())


def _class_of(configuration: Configuration, target: str) -> str:
    from stpipe.parameters.readers import EXTENSIONS

    if not target.endswith(EXTENSIONS):
        return target
    folders = (configuration.job or {}).get("python_path", [])
    sys.path += [folders] if isinstance(folders, str) else list(folders)
    if configuration.target is None:
        raise ParameterError(
            f"{target} does not say which step or pipeline it is for; add a line such as "
            "class = calwebb_detector1."
        )
    return configuration.target


def _takes_value(cls: type[Step], dotted: str) -> bool:
    """Whether a parameter is not a boolean; unknown ones are reported later."""
    from stpipe.parameters.specs import rules

    *parents, name = dotted.split(".")
    for step in [p for p in parents if p != "steps"]:
        if step not in cls.step_defs:
            return False
        cls = cls.step_defs[step]
    known = rules(cls)
    return name in known and known[name].kind != "boolean"


@dataclass(frozen=True)
class _Request:
    """What to run, with which parameters, on which files."""

    cls: type[Step]
    configuration: Configuration
    given: arguments.Arguments
    target: str
    inputs: tuple[str, ...]

    def carry_out(self) -> None:
        """Run, or do what an option asks for instead."""
        from stpipe.parameters import writer

        step = self.step()
        step.check_output_file()
        if path := self.given.options.get("save-parameters"):
            writer.checked(path)
        if len(self._together()) > 1 and step.output_file:
            raise UsageError("output_file names one product, but there are several inputs.")
        if missing := [path for path in self.inputs if not Path(path).exists()]:
            raise InputError(f"there is no file {', '.join(missing)} (in {Path.cwd()}).")
        if path := self.given.options.get("save-parameters"):
            self.resolved(next(iter(self.inputs), "")).export_config(path)
        if "explain-parameters" in self.given.flags:
            self._explain()
        elif self.inputs:
            self._dry_run() if "dry-run" in self.given.flags else self._run()
        elif "save-parameters" not in self.given.options:
            raise UsageError(f"no input given: strun {self.target} INPUT...")

    def step(self, lower: Settings | None = None) -> Step:
        """A fresh step with checked parameters: each input gives it names of its own.

        `lower` are settings for what the user does not set.
        """
        settings = self._settings() if lower is None else self._settings().over(lower)
        try:
            step = self.cls.from_settings(settings, self.configuration.name)
        except ParameterError as error:
            raise ParameterError(map(_with_option, error.problems)) from None
        step.use(resolver=self._resolver())
        return step

    def _settings(self) -> Settings:
        from stpipe.parameters import from_product
        from stpipe.parameters.readers import from_options
        from stpipe.project import job

        configuration = self.configuration
        base = job.read(configuration) if configuration.job else configuration.settings
        own = from_options(self.given.parameters)
        if product := self.given.options.get("like"):
            own = own.over(from_product.from_product(self.cls, product, own))
        return own.over(base)

    def _resolver(self) -> Resolver:
        from stpipe.references.crds import CrdsResolver
        from stpipe.references.directory import DirectoryResolver

        if folder := self.given.options.get("references"):
            return DirectoryResolver(folder)
        return CrdsResolver(parameters="disable-crds-steppars" not in self.given.flags)

    def resolved(self, source: str) -> Step:
        """A step with the parameters that apply to an exposure."""
        from stpipe import models

        step = self.step()
        if source:
            step.resolve_for(models.open_metadata(source).to_flat_dict())
        return step

    def _explain(self) -> None:
        from stpipe.cli.strun import explain

        chosen = [(self.resolved(source), source) for source in self.inputs or ("",)]
        if "json" in self.given.flags:
            import json

            print(json.dumps([explain.as_json(*one) for one in chosen], indent=1, default=str))
            return
        for step, source in chosen:
            print("\n".join(explain.lines(step, source)))

    def _dry_run(self) -> None:
        from stpipe.core.associations import assignments

        for one in (a for source in self.inputs for a in assignments(self.cls, source)):
            print("\n".join(_dry_run_lines(self.step(one.settings), str(one.source))))

    def _run(self) -> None:
        from stpipe import plugins
        from stpipe.core.associations import assignments
        from stpipe.system import logs, process

        _warn_of_conflict(plugins.conflict())
        process.reuse_memory()
        with logs.of_process(self._logging()):
            logs.log_platform(self.step().log)
            for sources in self._together():
                for one in assignments(self.cls, sources[0]):
                    step = self.step(one.settings)
                    step.use(threads=self._threads())
                    with one.opened(step) as exposure:
                        self._run_one(step, (exposure, *sources[1:]))
            logs.log_cost(self.step().log)

    def _together(self) -> list[tuple[str, ...]]:
        """The inputs of each run: one by one, unless the step takes many or a job names all."""
        many = self.configuration.job or (
            self.cls.takes_many and not any(s.endswith(".json") for s in self.inputs)
        )
        return [self.inputs] if many else [(source,) for source in self.inputs]

    def _run_one(self, step: Step, sources: tuple[Any, ...]) -> None:
        from stpipe.graph import partial_run
        from stpipe.project import job

        options = self.given.options
        start, stop = options.get("start-step"), options.get("stop-step")
        if start or stop:
            partial_run.run(step, sources[0], start, stop)
        elif section := self.configuration.job:
            ends = [end for end in options.get("side-products", "").split(",") if end]
            job.save(step, job.run(step, section, sources), sources[0], ends)
        else:
            step.save(step.run(sources[0] if len(sources) == 1 else list(sources)))

    def _threads(self) -> int:
        given = self.given.options.get("threads", "1")
        if not given.isdecimal() or int(given) < 1:
            raise UsageError(f"--threads: found {given!r}, allowed: an integer, at least 1.")
        return int(given)

    def _logging(self) -> dict[str, str]:
        settings = dict(self.configuration.logging)
        if "verbose" in self.given.flags:
            settings["level"] = "DEBUG"
        for name in ("level", "file", "stream", "format"):
            if f"log-{name}" in self.given.options:
                settings[name] = self.given.options[f"log-{name}"]
        return settings


def _with_option(problem: str) -> str:
    """A hint to an option of the command, for a name that is not a parameter."""
    start = 'command line: unknown parameter "'
    if not problem.startswith(start) or "did you mean" in problem:
        return problem
    name = problem.removeprefix(start).partition('"')[0]
    return problem + did_you_mean(name, (*arguments.FLAGS, *arguments.VALUED))


def _dry_run_lines(step: Step, source: str) -> Iterator[str]:
    from stpipe.graph.tracing import trace

    yield source
    for node in trace(step, source).nodes:
        yield from _skipped_lines(node.skipped_before)
        yield f"  {node.name} -> {', '.join(p.suffix for p in node.products)}"
        yield from _reference_lines(node.references)
        for refinement in node.refinements:
            product = node.products[refinement.product].suffix
            yield f"  {refinement.step.qualified_name} -> {product}, in the same rule"
            yield from _reference_lines(refinement.references)
        yield from _skipped_lines(node.skipped_after)


def _skipped_lines(skipped: Iterable[SkippedStep]) -> Iterator[str]:
    for step in skipped:
        yield f"  ({step.step.qualified_name}: skipped, {step.reason})"


def _reference_lines(references: Mapping[str, Reference]) -> Iterator[str]:
    for reference_type, reference in references.items():
        yield f"      {reference_type}: {reference.recorded_name}"


if __name__ == "__main__":
    sys.exit(main())
