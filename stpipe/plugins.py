"""Plugins: steps and pipelines of other packages, found through entry points without importing them.

Two forms are understood. The simple one names a class under its alias::

    [project.entry-points."stpipe_flow.steps"]
    despeckle = "mypackage.despeckle:DespeckleStep"

    [project.entry-points."stpipe_flow.pipelines"]
    calmine = "mypackage.pipelines:MinePipeline"

The other is STScI's, group `stpipe.steps`: a function that returns a list of (class path, alias, is
pipeline). A function that returns nothing but a literal list is read, not imported.
"""

from __future__ import annotations

import ast
import importlib.util
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path

__all__ = ["Plugin", "conflict", "found", "source_file", "summary"]

_KINDS = {"stpipe_flow.steps": "step", "stpipe_flow.pipelines": "pipeline"}
_STSCI = "stpipe.steps"
_log = logging.getLogger("stpipe.plugins")


@dataclass(frozen=True)
class Plugin:
    """A step or pipeline that another package offers."""

    alias: str
    target: str
    kind: str  # step or pipeline
    package: str


@cache
def found() -> tuple[Plugin, ...]:
    """Everything that installed packages offer, by package and alias."""
    own = (
        Plugin(point.name, point.value, kind, _package(point))
        for group, kind in _KINDS.items()
        for point in entry_points(group=group)
    )
    foreign = (plugin for point in entry_points(group=_STSCI) for plugin in _listed(point))
    return tuple(sorted((*own, *foreign), key=lambda p: (p.package, p.alias)))


def conflict() -> str:
    """A sentence when STScI's stpipe is installed beside this one; empty otherwise."""
    try:
        number = version("stpipe")
    except PackageNotFoundError:
        return ""
    return (
        f"STScI's stpipe {number} is installed in this environment, too. It is imported under the "
        "same name `stpipe` and has a command `strun` as well, so that one of the two hides the "
        "other. Install stpipe-flow into an environment of its own (python -m venv DIR)."
    )


def summary(target: str) -> str:
    """First line of the text of the module that holds a class, read without importing it."""
    path = source_file(target.partition(":")[0] if ":" in target else target.rpartition(".")[0])
    if path is None:
        return ""
    try:
        text = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError):
        return ""
    return (text or "").strip().partition("\n")[0]


def source_file(module: str) -> Path | None:
    """The file of a module, found without importing the packages around it."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for place in spec.submodule_search_locations or ():
        stem = Path(place, *rest)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else ""


def _listed(point: EntryPoint) -> Iterator[Plugin]:
    """What a function of STScI's form returns."""
    rows = _literal(point)
    if rows is None:
        try:
            rows = point.load()()
        except Exception as error:  # noqa: BLE001 - a broken plugin must not take the rest with it
            _log.warning(
                "plugin %s of %s is ignored: %s: %s",
                point.value,
                _package(point),
                type(error).__name__,
                error,
            )
            return
    for target, alias, is_pipeline in rows:
        name = alias or target.rpartition(".")[2]
        yield Plugin(name, target, "pipeline" if is_pipeline else "step", _package(point))


def _literal(point: EntryPoint) -> list[tuple[str, str | None, bool]] | None:
    """The list that a function returns when its source says it as it is; None otherwise."""
    path = source_file(point.module)
    if path is None:
        return None
    try:
        tree = ast.parse(path.read_bytes())
        function = next(
            n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == point.attr
        )
        (answer,) = [n for n in ast.walk(function) if isinstance(n, ast.Return)]
        rows = ast.literal_eval(answer.value) if answer.value else None
    except (OSError, SyntaxError, StopIteration, ValueError):
        return None
    return [(str(t), a, bool(p)) for t, a, p in rows or ()]
