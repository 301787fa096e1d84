"""Fingerprint of a step's code: what changes it, and what does not.

The policy: the module that defines the step, the modules and compiled kernels that it imports from
its own folder, and its Python hooks count, each as its syntax tree without comments and docstrings.
The framework counts through its version; other packages do not count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from functools import lru_cache
from pathlib import Path

from stpipe.step import Step

__all__ = ["fingerprint", "source_files"]


def fingerprint(step: type[Step]) -> str:
    """Hash of the code that computes `step`'s product."""
    digest = hashlib.sha256()
    for path in source_files(step):
        state = path.stat()
        digest.update(_meaning(path, state.st_mtime_ns, state.st_size).encode())
    return digest.hexdigest()[:16]


def source_files(step: type[Step]) -> tuple[Path, ...]:
    """The files that count: of the class, its bases outside the framework, and what they import."""
    found: dict[Path, None] = {}
    for cls in step.__mro__:
        if issubclass(cls, Step) and cls.__module__ not in ("stpipe.step", "stpipe.pipeline"):
            _collect(Path(inspect.getfile(cls)).resolve(), cls.__module__, found)
    return tuple(found)


def _collect(path: Path, module: str, found: dict[Path, None]) -> None:
    if path in found or not path.is_file():
        return
    found[path] = None
    if path.suffix == ".py":
        for name in _imports(path, module):
            for neighbour in _neighbours(name, path.parent):
                _collect(neighbour, name, found)


def _imports(path: Path, module: str) -> list[str]:
    """Dotted names that a file imports; a name imported from a package may be a module."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = []
    for node in ast.walk(_tree(path, path.stat().st_mtime_ns)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def _neighbours(name: str, folder: Path) -> list[Path]:
    """Files of the module `name` that lie in `folder`; a kernel counts by its source."""
    stem = name.rpartition(".")[2]
    candidates = [folder / f"{stem}.pyx", folder / f"{stem}.py"]
    loaded = getattr(sys.modules.get(name), "__file__", None)
    here = [c for c in candidates if c.is_file()]
    if loaded is not None and Path(loaded).resolve().parent != folder:
        return []
    return here


@lru_cache(maxsize=512)
def _tree(path: Path, mtime: int) -> ast.Module:
    del mtime  # part of the cache's key only
    return ast.parse(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=512)
def _meaning(path: Path, mtime: int, size: int) -> str:
    """The text that counts: a syntax tree without docstrings, or a kernel without comments."""
    del size
    if path.suffix != ".py":
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line.rstrip() for line in lines if not line.lstrip().startswith("#")]
        return "\n".join(line for line in kept if line)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    del mtime
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
