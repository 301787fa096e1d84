"""Command-line words of `strun`: options of the command itself, parameters, inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stpipe.errors import UsageError

__all__ = ["FLAGS", "VALUED", "Arguments", "parse"]

FLAGS = {
    "help": "Show this help; after a target, its parameters",
    "version": "Show the version",
    "list": "Show all steps and pipelines, one line each",
    "explain-parameters": "Show every parameter with its value and source, and stop",
    "dry-run": "Show the steps and reference files that would be used, and stop",
    "json": "With --list and --explain-parameters: as JSON",
    "disable-crds-steppars": "Ignore the parameter files of CRDS",
    "verbose": "Log at level DEBUG",
    "debug": "Show the traceback of an error",
}
VALUED = {
    "like": "PRODUCT   Use the parameters that a product was made with",
    "save-parameters": "FILE   Write all parameters to a .cfg or .asdf file that repeats the run",
    "start-step": "STEP   Start a pipeline at this step, from saved products",
    "stop-step": "STEP   Stop a pipeline after this step, and save what later steps need",
    "references": "DIR   Select reference files by the rules of a directory instead of CRDS",
    "side-products": "ENDS   In a job of a project: side products, by the ends of their names",
    "threads": "N   Threads for corrections of ramps (default: 1)",
    "log-level": "LEVEL   DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "log-file": "FILE   Log to a file as well",
    "log-stream": "STREAM   stderr, stdout or null",
    "log-format": "FORMAT   Fields as Python's logging names them: %(message)s",
    "completion": "SHELL   Print the completion script for bash, zsh or fish",
}
_SHORT = {"-h": "--help", "-v": "--verbose"}


@dataclass
class Arguments:
    """The words of a command line, sorted."""

    positional: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    options: dict[str, str] = field(default_factory=dict)
    parameters: list[tuple[str, str]] = field(default_factory=list)

    @property
    def target(self) -> str | None:
        """The step, pipeline or parameter file."""
        return self.positional[0] if self.positional else None

    @property
    def inputs(self) -> list[str]:
        """The input files."""
        return self.positional[1:]


def parse(words: Sequence[str], takes_value: Callable[[str], bool] = lambda _: False) -> Arguments:
    """Sort words; `takes_value` says whether a value follows a parameter without `=`.

    Names are never abbreviated. Unknown parameters are kept: the specs decide about all of them.
    """
    found = Arguments()
    rest = [_SHORT.get(word, word) for word in words]
    while rest:
        word = rest.pop(0)
        if word == "--":
            found.positional += rest
            break
        if not word.startswith("--"):
            if word.startswith("-") and len(word) > 1 and not word[1].isdigit():
                raise UsageError(f'unknown option "{word}"; short options are -h and -v.')
            found.positional.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name in FLAGS and not equals:
            found.flags.add(name)
        elif name in VALUED:
            found.options[name] = value if equals else _next(rest, name)
        elif equals:
            found.parameters.append((name, value))
        else:
            found.parameters.append((name, _next(rest, name) if takes_value(name) else "True"))
    return found


def _next(rest: list[str], name: str) -> str:
    if not rest or rest[0].startswith("--"):
        raise UsageError(f"--{name} needs a value: --{name}=VALUE.")
    return rest.pop(0)
