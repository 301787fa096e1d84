"""Fingerprint of a step's code: what changes it, and what does not.

The policy: the module that defines the step counts, with the modules and compiled kernels that it
imports, each as its syntax tree without comments and docstrings. Of a built-in step those count that
are arithmetic (`stpipe.steps`, `stpipe.science`), of a user's step those of its own package, too. The
framework does not count, nor do other packages: a change of the progress bar rebuilds nothing.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from stpipe.core.step import Step
from stpipe.system import disk_cache
from stpipe.system.package_data import PACKAGE

__all__ = ["at_once", "files_of_function", "fingerprint", "fingerprint_of", "source_files"]

_OWN = "stpipe"
_ARITHMETIC = ("stpipe.steps.", "stpipe.science.")  # modules of ours that decide pixels
# What decides how code is read: this file, and the syntax trees of the interpreter.
_HOW = (disk_cache.state_of(__file__), sys.version)
_CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|cimport\s+([\w.]+))", re.MULTILINE)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Read each file once while the block runs: code does not change between two exposures."""
    _looked.clear()
    _looking.append(True)
    try:
        yield
    finally:
        _looking.pop()


_looked: dict[tuple[str, type[Step]], Any] = {}
_looking: list[bool] = []


def fingerprint(step: type[Step]) -> str:
    """Hash of the code that computes `step`'s product."""
    return str(_once("hash", step, lambda: fingerprint_of(source_files(step))))


def _once(what: str, step: type[Step], find: Callable[[], Any]) -> Any:
    if not _looking:
        return find()
    if (what, step) not in _looked:
        _looked[what, step] = find()
    return _looked[what, step]


def fingerprint_of(files: Iterable[Path]) -> str:
    """Hash of source files without comments and docstrings."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(_meaning(path, path.stat().st_mtime_ns).encode())
    return digest.hexdigest()[:16]


def source_files(step: type[Step]) -> tuple[Path, ...]:
    """The files that count: of the class, of its bases outside the framework, and their imports."""
    files: tuple[Path, ...] = _once("files", step, lambda: _source_files(step))
    return files


def _source_files(step: type[Step]) -> tuple[Path, ...]:
    found: dict[Path, None] = {}
    for cls in step.__mro__:
        if issubclass(cls, Step) and (cls is step or not _is_framework(cls.__module__)):
            _collect(Path(inspect.getfile(cls)).resolve(), cls.__module__, found)
    for substep in step.step_defs.values():
        found |= dict.fromkeys(source_files(substep))
    return tuple(found)


def _is_framework(module: str) -> bool:
    """Whether a module is one of this package that does not decide pixels."""
    return module.partition(".")[0] == _OWN and not module.startswith(_ARITHMETIC)


def files_of_function(function: Callable[..., Any]) -> tuple[Path, ...]:
    """The files that count of a hook: its module and what that imports; none for built-in code."""
    found: dict[Path, None] = {}
    owner = function if hasattr(function, "__module__") else type(function)
    file = getattr(sys.modules.get(owner.__module__ or ""), "__file__", None)
    if file is not None and Path(file).suffix == ".py":
        _collect(Path(file).resolve(), owner.__module__, found)
    return tuple(found)


def _collect(path: Path, module: str, found: dict[Path, None]) -> None:
    if path in found:
        return
    found[path] = None
    for name in _imports(path, module, path.stat().st_mtime_ns):
        for file in _files(name, module, path.parent):
            _collect(file, name, found)


def _files(name: str, importer: str, folder: Path) -> Iterator[Path]:
    """Sources of the module `name`, when it counts for one that `importer` in `folder` defines."""
    package, *inner = name.split(".")
    if package == _OWN and not _is_framework(name):
        place = PACKAGE.joinpath(*inner)
    elif package == importer.partition(".")[0] != _OWN:
        loaded = getattr(sys.modules.get(name), "__file__", None)
        place = (Path(loaded).resolve().parent if loaded else folder) / name.rpartition(".")[2]
    elif not inner and "." not in importer:
        place = folder / package  # a script's neighbour
    else:
        return
    for suffix in (".py", ".pyx", ".pxd"):
        file = place.with_name(f"{place.name}{suffix}")
        if file.is_file():
            yield file


@lru_cache(maxsize=512)
def _imports(path: Path, module: str, mtime: int) -> tuple[str, ...]:
    """Dotted names that a file imports; a name imported from a package may be a module."""
    del mtime  # part of the cache's key only
    return tuple(
        disk_cache.of_file(path, lambda: _imported(path, module), "imports", *_HOW, module)
    )


def _imported(path: Path, module: str) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return tuple(a or b for a, b in _CIMPORT.findall(text))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package) if node.level else base
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


@lru_cache(maxsize=512)
def _meaning(path: Path, mtime: int) -> str:
    """The text that counts: a syntax tree without docstrings, or a kernel without comments."""
    del mtime  # part of the cache's key only
    return str(disk_cache.of_file(path, lambda: _read_meaning(path), "meaning", *_HOW))


def _read_meaning(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        kept = (line.rstrip() for line in text.splitlines() if not line.lstrip().startswith("#"))
        return "\n".join(line for line in kept if line)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
