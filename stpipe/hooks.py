"""Hooks: a Python function or a shell command run before or after a step.

`python:package.module.function` is called with the model and may return another in its place.
`shell:command {input} {output}` sees the model as a file; a command that names `{output}` replaces
it, one that does not only looks. A bare dotted name is Python, any other bare string is shell.
"""

from __future__ import annotations

import importlib
import logging
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.errors import HookError, StpipeError

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = ["Hook", "parse", "run_all", "text"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")


@dataclass(frozen=True)
class Hook:
    """A parsed hook: `kind` is "python" or "shell"."""

    kind: str
    text: str


def parse(text: str | Callable[..., Any]) -> Hook | Callable[..., Any]:
    """Tell Python from shell; a name never falls through to a shell."""
    if callable(text):
        return text
    for kind in ("python", "shell"):
        if text.startswith(f"{kind}:"):
            return Hook(kind, text.removeprefix(f"{kind}:").strip())
    return Hook("python" if _DOTTED.match(text.strip()) else "shell", text.strip())


def text(hook: str | Callable[..., Any]) -> str:
    """The hook as a parameter file writes it."""
    return hook if isinstance(hook, str) else f"python:{hook.__module__}.{hook.__qualname__}"


def run_all(
    hooks: Sequence[str | Callable[..., Any]], model: DataModel, log: logging.Logger
) -> DataModel:
    """Run hooks in their order, each on what the one before left.

    Raises
    ------
    HookError
        When one fails, makes nothing where it names `{output}`, or makes something unreadable.
    """
    for text in hooks:
        hook = parse(text)
        log.info("Hook %s", text)
        if isinstance(hook, Hook):
            model = (
                _run_shell(hook, model, log) if hook.kind == "shell" else _run_python(hook, model)
            )
        else:
            model = _call(hook, model, repr(text))
    return model


def _run_python(hook: Hook, model: DataModel) -> DataModel:
    module_name, _, name = hook.text.rpartition(".")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise HookError(f'hook "{hook.text}": {error}. Nothing was handed to a shell.') from error
    return _call(function, model, hook.text)


def _call(function: Callable[..., Any], model: DataModel, label: str) -> DataModel:
    from stpipe.step import Step

    try:
        is_step = isinstance(function, type) and issubclass(function, Step)
        result = function().run(model) if is_step else function(model)
    except StpipeError:
        raise
    except Exception as error:
        raise HookError(f'hook "{label}" failed: {type(error).__name__}: {error}') from error
    return model if result is None else result


def _run_shell(hook: Hook, model: DataModel, log: logging.Logger) -> DataModel:
    from stpipe import models

    with tempfile.TemporaryDirectory(prefix="stpipe-hook-") as folder:
        source, target = Path(folder) / "input.fits", Path(folder) / "output.fits"
        model.save(source)
        _stream(_command(hook.text, source, target), log)
        if "{output}" not in hook.text:
            return model
        if not target.is_file():
            raise HookError(f'hook "{hook.text}" made no {{output}} file.')
        try:
            return _read_whole(models.open(target), model)
        except StpipeError as error:
            raise HookError(f'hook "{hook.text}" made an unusable file: {error}') from error


def _command(text: str, source: Path, target: Path) -> str:
    # Plain replacement, not str.format: braces of awk and the shell must survive.
    quoted = text.replace("{input}", shlex.quote(str(source)))
    return quoted.replace("{output}", shlex.quote(str(target)))


def _stream(command: str, log: logging.Logger) -> None:
    """Run a shell command; every line it prints goes to the log as it comes."""
    with subprocess.Popen(  # noqa: S602 - running the user's own command line is what a hook is
        command,
        shell=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            log.info("  %s", line.rstrip())
    if process.returncode:
        raise HookError(f'hook "{command}" failed with exit code {process.returncode}.')


def _read_whole(made: DataModel, before: DataModel) -> DataModel:
    """Take the arrays into memory: the file is about to go."""
    for name in made.shapes:
        getattr(made, name)
    made.close()
    made.meta.filename = before.meta.filename
    return made
