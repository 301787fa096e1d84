"""`strun`: run a step or a pipeline on exposures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stpipe import registry
from stpipe.cli import arguments
from stpipe.cli.errors import guarded
from stpipe.errors import ParameterError, UsageError

if TYPE_CHECKING:
    from stpipe.generate.trace import SkippedStep
    from stpipe.parameters import Configuration, Settings
    from stpipe.references import Reference
    from stpipe.step import Step

__all__ = ["main"]

USAGE = """\
usage: strun TARGET INPUT... [--parameter=value ...] [options]

Run a step or a pipeline on exposures. TARGET is an alias (jump, calwebb_detector1), a class
(mypkg.MyPipeline, sloper.py:SloperPipeline) or a parameter file (sloper.cfg). Products go to the
current directory as ROOT_SUFFIX.fits unless --output_file or --output_dir say otherwise.

  strun calwebb_detector1 jw01_uncal.fits
  strun jump jw01_dark_current.fits --rejection_threshold=5
  strun sloper.cfg jw01_uncal.fits --output_file=slopes.asdf
  strun jump --help                    parameters of a step

options:
{options}

exit codes: 0 done, 1 a step failed, 2 usage or parameters, 3 input unusable, 4 reference file
missing, 5 hook failed"""


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of the command."""
    given = sys.argv[1:] if words is None else list(words)
    return guarded("strun", lambda: _main(given), debug="--debug" in given)


def _main(words: Sequence[str]) -> None:
    first = arguments.parse(words)
    if "version" in first.flags:
        import stpipe

        print(f"stpipe-flow {stpipe.__version__}")
    elif "list" in first.flags:
        _list()
    elif first.target is None and "help" in first.flags:
        print(USAGE.format(options=_options()))
    elif first.target is None:
        raise UsageError("no target given. Try strun --help, or strun --list.")
    else:
        _with_target(words, first.target)


def _list() -> None:
    for title, names in (("Pipelines", registry.PIPELINES), ("Steps", registry.STEPS)):
        print(f"{title}:")
        for alias in names:
            print(f"  {alias:<20} {registry.summary(alias)}")


def _options() -> str:
    lines = [f"  --{name:<18} {text}" for name, text in arguments.FLAGS.items()]
    for name, text in arguments.VALUED.items():
        value, _, words = text.partition(" ")
        lines.append(f"  {f'--{name}={value}':<20} {words.strip()}")
    return "\n".join(lines)


def _with_target(words: Sequence[str], target: str) -> None:
    configuration = _configuration(target)
    cls = registry.load(_class_of(configuration, target))
    given = arguments.parse(words, lambda name: _takes_value(cls, name))
    if "help" in given.flags:
        print(_help(cls, target))
        return
    _run(cls, configuration, given)


def _configuration(target: str) -> Configuration:
    from stpipe.parameters import Configuration, Settings, read_cfg

    return read_cfg(target) if target.endswith(".cfg") else Configuration(None, Settings())


def _class_of(configuration: Configuration, target: str) -> str:
    if not target.endswith(".cfg"):
        return target
    for folder in reversed(_listed((configuration.job or {}).get("python_path", []))):
        sys.path.insert(0, folder)
    if configuration.target is None:
        raise ParameterError(
            f"{target}: it does not say which step or pipeline it is for; add a line such as "
            "class = calwebb_detector1."
        )
    return configuration.target


def _takes_value(cls: type[Step], dotted: str) -> bool:
    """Whether a parameter is anything but boolean; unknown ones are reported later."""
    from stpipe.parameters import rules

    *parents, name = dotted.split(".")
    for step in [p for p in parents if p != "steps"]:
        if step not in cls.step_defs:
            return False
        cls = cls.step_defs[step]
    known = rules(cls)
    return name in known and not known[name].check.startswith("boolean")


def _help(cls: type[Step], target: str) -> str:
    import inspect

    from stpipe.parameters import rules

    lines = [f"usage: strun {target} INPUT... [--parameter=value ...]", ""]
    lines += [inspect.getdoc(cls) or cls.__name__, "", "parameters:"]
    for name, rule in rules(cls).items():
        default = "required" if rule.required else f"default: {rule.default}"
        lines += [f"  --{name}", f"      {rule.help or 'no description'}"]
        lines += [f"      {rule.allowed}, {default}"]
    if cls.step_defs:
        lines += ["", f"steps: {', '.join(cls.step_defs)}"]
        lines += [
            "  --steps.STEP.PARAMETER=VALUE sets a parameter of a step; see strun STEP --help"
        ]
    return "\n".join(lines)


def _run(cls: type[Step], configuration: Configuration, given: arguments.Arguments) -> None:
    from stpipe import logs

    step = cls.from_settings(_settings(configuration, given), configuration.name)
    if not given.inputs:
        raise UsageError(f"no input given: strun {given.target} INPUT...")
    if len(given.inputs) > 1 and step.output_file:
        raise UsageError("output_file names one product, but there are several inputs.")
    if path := given.options.get("save-parameters"):
        step.export_config(path)
    if "dry-run" in given.flags:
        for source in given.inputs:
            _dry_run(step, source)
        return
    logs.configure(_logging(configuration, given))
    logs.log_platform(step.log)
    for source in given.inputs:
        # Each input has a name of its own to derive product names from.
        fresh = cls.from_settings(_settings(configuration, given), configuration.name)
        _run_one(fresh, configuration.job, source)


def _settings(configuration: Configuration, given: arguments.Arguments) -> Settings:
    from stpipe import job
    from stpipe.parameters import from_options

    base = job.read(configuration) if configuration.job else configuration.settings
    return from_options(given.parameters).over(base)


def _run_one(step: Step, job_section: Any, source: str) -> None:
    from stpipe import job

    result = job.run(step, job_section, source) if job_section else step.run(source)
    step.save(result)


def _dry_run(step: Step, source: str) -> None:
    from stpipe.generate.trace import trace

    print(source)
    for node in trace(step, source).nodes:
        _print_skipped(node.skipped_before)
        print(f"  {node.name} -> {', '.join(p.suffix for p in node.products)}")
        _print_references(node.references)
        for refinement in node.refinements:
            product = node.products[refinement.product].suffix
            print(f"  {refinement.step.qualified_name} -> {product}, in the same rule")
            _print_references(refinement.references)
        _print_skipped(node.skipped_after)


def _print_skipped(skipped: Iterable[SkippedStep]) -> None:
    for step in skipped:
        print(f"  ({step.step.qualified_name}: skipped, {step.reason})")


def _print_references(references: Mapping[str, Reference]) -> None:
    for reference_type, reference in references.items():
        print(f"      {reference_type}: {reference.recorded_name}")


def _logging(configuration: Configuration, given: arguments.Arguments) -> dict[str, str]:
    settings = dict(configuration.logging)
    if "verbose" in given.flags:
        settings["level"] = "DEBUG"
    for option, name in (("log-level", "level"), ("log-file", "file")):
        if option in given.options:
            settings[name] = given.options[option]
    return settings


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


if __name__ == "__main__":
    sys.exit(main())
