"""The class behind an alias, a dotted name or a file."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

from stpipe import plugins
from stpipe.core.pipeline import Pipeline
from stpipe.core.ramp_step import RampStep
from stpipe.core.step import Step
from stpipe.errors import UsageError, did_you_mean
from stpipe.registry import PIPELINES, STEPS, built_in, entries

__all__ = ["import_class", "load"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")


def load(target: str) -> type[Step]:
    """The class behind an alias (`jump`), a dotted name or `file.py:Class`.

    Raises
    ------
    UsageError
        When there is no such alias, module, file or class, or two packages offer the alias.
    """
    known = {**STEPS, **PIPELINES}
    if target in known:
        return import_class(known[target])
    if "::" not in target and (":" in target or _DOTTED.match(target)):
        return import_class(built_in(target) or target)
    if found := _of_plugins(target):
        return import_class(found)
    names = [*known, *(entry.alias for entry in entries())]
    raise UsageError(
        f'"{target}" is not a step or pipeline{did_you_mean(target, names)}. '
        "Give an alias (see strun --list), a class path (mypkg.MyPipeline, sloper.py:SloperPipeline) "
        "or a .cfg file."
    )


def _of_plugins(target: str) -> str | None:
    """The class that another package offers as `alias` or `package::alias`."""
    package, _, alias = target.rpartition("::")
    offers = [
        plugin
        for plugin in plugins.found()
        if plugin.alias == alias and package in ("", plugin.package)
    ]
    if len(offers) > 1:
        names = ", ".join(f"{plugin.package}::{alias}" for plugin in offers)
        raise UsageError(f'"{target}" is offered by several packages; choose one: {names}.')
    return offers[0].target if offers else None


def import_class(target: str) -> type[Step]:
    """Import `package.module:Class`, `package.module.Class` or `path/file.py:Class`."""
    module_name, _, class_name = target.rpartition(":" if ":" in target else ".")
    module = _module(module_name, target)
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Step):
        return found
    if isinstance(found, type):
        raise UsageError(
            f'"{target}" is not a step of stpipe-flow. Derive it from stpipe.Step, RampStep or '
            f"Pipeline. {plugins.conflict()}".rstrip()
        )
    # A package exports its classes without having imported them.
    classes = [n for n in getattr(module, "__all__", ()) if n.endswith(("Step", "Pipeline"))] or [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Step)
        and value not in (Step, RampStep, Pipeline)
    ]
    raise UsageError(
        f'"{target}": {module_name} has no step or pipeline "{class_name}"'
        f"{did_you_mean(class_name, classes)}; it has {', '.join(sorted(classes)) or 'none'}."
    )


def _module(name: str, target: str) -> object:
    if name.endswith(".py"):
        return _module_from_file(Path(name), target)
    # The current folder is searched last, and only for modules of users: data lie in it.
    if name.partition(".")[0] != "stpipe" and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A missing import inside the user's module is the user's to see, not an unknown target.
        if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f'"{target}": importing {name} failed: {error}') from error
        raise UsageError(
            f'"{target}": there is no module "{name}" on the Python path or in {Path.cwd()}.'
        ) from None
    except (ImportError, SyntaxError) as error:
        raise UsageError(f'"{target}": importing {name} failed: {error}') from error


def _module_from_file(path: Path, target: str) -> object:
    if not path.is_file():
        raise UsageError(f'"{target}": there is no file {path} (looked in {Path.cwd()}).')
    path = path.resolve()
    for module in list(sys.modules.values()):
        # The same file imported before, under any name: its classes must stay identical.
        if getattr(module, "__file__", None) == str(path):
            return module
    # Neighbours of the file are importable from it, but never in the place of a package.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f'"{target}": {path} is not a Python file.')
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[path.stem]
        raise UsageError(f'"{target}": importing {path} failed: {error}') from error
    return module
