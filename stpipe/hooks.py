"""Hooks: a Python function or a shell command run before or after a step.

`python:package.module.function` is called with the model and may return another in its place.
`shell:command {input} {output}` sees the model as a file; a command that names `{output}` replaces
it, one that does not only looks. A bare dotted name is Python, any other bare string is shell.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stpipe import naming
from stpipe.errors import HookError, StpipeError

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = ["Hook", "function", "is_shell", "parse", "replaces", "run", "run_all", "text"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
# Quotes around a placeholder are ours to replace: the path comes quoted.
_PLACE = re.compile(r"""(["']?)\{(input|output)\}\1""")
_PIECE = 8192  # characters of a line that go into one record


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
    if isinstance(hook, str):
        return hook
    owner = hook if hasattr(hook, "__qualname__") else type(hook)
    return f"python:{owner.__module__}.{owner.__qualname__}"


def is_shell(hook: str | Callable[..., Any]) -> bool:
    """Whether the hook is a command of the shell."""
    parsed = parse(hook)
    return isinstance(parsed, Hook) and parsed.kind == "shell"


def replaces(hook: str | Callable[..., Any]) -> bool:
    """Whether the hook may change the data; a command without `{output}` only looks."""
    return not is_shell(hook) or "{output}" in text(hook)


def run_all(
    hooks: Sequence[str | Callable[..., Any]],
    model: DataModel,
    log: logging.Logger,
    limit: float | None = None,
) -> DataModel:
    """Run hooks in their order, each on what the one before left; see `run`."""
    for hook in hooks:
        model = run(hook, model, log, limit)
    return model


def run(
    given: str | Callable[..., Any],
    model: DataModel,
    log: logging.Logger,
    limit: float | None = None,
) -> DataModel:
    """Run one hook; return what it left.

    `limit` is the time in seconds that a command may take.

    Raises
    ------
    HookError
        When it fails, takes longer than `limit`, makes nothing where it names `{output}`, or makes
        something that is not the kind of model that it was given.
    """
    hook = parse(given)
    label = text(given)
    log.info("Hook %s", label)
    if not isinstance(hook, Hook):
        return _call(hook, model, label)
    if hook.kind == "python":
        return _call(_function(hook), model, label)
    return _run_shell(hook, model, log, limit)


# --- Python ----------------------------------------------------------------------------------------


def function(text: str) -> Callable[..., Any]:
    """The function that a Python hook names.

    Raises
    ------
    HookError
        When it cannot be imported or is no function.
    """
    hook = parse(text)
    return _function(hook) if isinstance(hook, Hook) else hook


def _function(hook: Hook) -> Callable[..., Any]:
    module_name, _, name = hook.text.rpartition(".")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:
        raise HookError(
            f'hook "{hook.text}": importing it failed: {type(error).__name__}: {error}. It was not '
            f'handed to a shell; write "shell:{hook.text}" where a command is meant.'
        ) from error
    if not callable(found):
        raise HookError(f'hook "{hook.text}" is a {type(found).__name__}, allowed: a function.')
    return cast("Callable[..., Any]", found)


def _call(function: Callable[..., Any], model: DataModel, label: str) -> DataModel:
    # A class may say how it is called as a hook; steps do.
    function = getattr(function, "as_hook", function)
    try:
        result = function(model)
    except StpipeError:
        raise
    except Exception as error:
        raise HookError(f'hook "{label}" failed: {type(error).__name__}: {error}') from error
    return model if result is None else _same_kind(result, model, f'hook "{label}" returned')


def _same_kind(made: object, before: DataModel, what: str) -> DataModel:
    """What a hook made, when the step can go on with it."""
    if type(made) is not type(before):
        raise HookError(f"{what} a {type(made).__name__}, allowed: a {type(before).__name__}.")
    return made


# --- shell -----------------------------------------------------------------------------------------


def _run_shell(hook: Hook, model: DataModel, log: logging.Logger, limit: float | None) -> DataModel:
    with tempfile.TemporaryDirectory(prefix="stpipe-hook-") as folder:
        source, target = (Path(folder, way, _file_name(model)) for way in ("in", "out"))
        for path in (source, target):
            path.parent.mkdir()
        model.copy().save(source)
        _stream(_command(hook.text, source, target), log, limit)
        if "{output}" not in hook.text:
            return model
        if not target.is_file():
            raise HookError(f'hook "{hook.text}" made no {{output}} file.')
        return _read(hook, target, model)


def _file_name(model: DataModel) -> str:
    """The name of the exposure: tools derive names of their own from it."""
    name = naming.writable(Path(model.get("meta.filename") or "input").name)
    return name if name.endswith(naming.EXTENSIONS) else f"{name}{model.extension}"


def _command(text: str, source: Path, target: Path) -> str:
    # Plain replacement, not str.format: braces of awk and the shell must survive.
    paths = {"input": shlex.quote(str(source)), "output": shlex.quote(str(target))}
    return _PLACE.sub(lambda place: paths[place[2]], text)


def _stream(command: str, log: logging.Logger, limit: float | None) -> None:
    """Run a shell command; every line it prints goes to the log as it comes."""
    with subprocess.Popen(  # noqa: S602 - running the user's own command line is what a hook is
        command,
        shell=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that what the command started ends with it
    ) as process:
        late = threading.Event()
        timer = threading.Timer(limit or 0, _end_late, (process, late))
        if limit is not None:
            timer.start()
        try:
            _log_output(process, log)
            process.wait()
        except BaseException:
            _kill(process)
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise HookError(
            f'hook "{command}" took longer than {limit:g} s (hook_timeout) and was ended.'
        )
    if process.returncode:
        raise HookError(f'hook "{command}" failed with {_how(process.returncode)}.')


def _log_output(process: subprocess.Popen[str], log: logging.Logger) -> None:
    stream = process.stdout
    # In pieces: a line may be as long as memory.
    while stream is not None and (line := stream.readline(_PIECE)):
        log.info("  %s", line.rstrip())


def _end_late(process: subprocess.Popen[str], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a command and everything that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _how(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"


def _read(hook: Hook, target: Path, before: DataModel) -> DataModel:
    """What a command made, in memory: the file is about to go."""
    import numpy as np

    from stpipe import models

    what = f'hook "{hook.text}" made'
    try:
        made = models.open(target)
        if type(made) is not type(before) and made.get("meta.model_type") is None:
            made = type(before)(made)  # a tool that does not write which model it is
        _same_kind(made, before, what)
        for name in made.shapes:
            setattr(made, name, np.array(getattr(made, name)))
        _keep(made, before)
    except HookError:
        raise
    except StpipeError as error:
        raise HookError(f"{what} an unusable file: {error}") from error
    made.close()
    return made


def _keep(made: DataModel, before: DataModel) -> None:
    """Keep metadata and arrays that the tool did not write."""
    for name, value in before.to_flat_dict().items():
        if not name.startswith("provenance") and made.get(name) is None:
            made.set(name, value)
    made.meta.filename = before.meta.filename
    made.provenance = list(made.provenance or before.provenance or [])
    if made.shape == before.shape:
        for name in before.shapes.keys() - made.shapes.keys():
            setattr(made, name, getattr(before, name))
