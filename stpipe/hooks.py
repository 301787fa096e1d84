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
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from stpipe.models import DataModel

__all__ = ["Hook", "function", "is_shell", "parse", "replaces", "run", "run_all", "text"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
# Quotes around {input} and {output} are replaced, too: the path is quoted already.
_PLACE = re.compile(r"""(["']?)\{(input|output)\}\1""")
_PIECE = 8192  # characters of a line that go into one record


@dataclass(frozen=True)
class Hook:
    """A parsed hook: `kind` is "python" or "shell"."""

    kind: str
    text: str


def parse(text: str | Callable[..., Any]) -> Hook | Callable[..., Any]:
    """Decide between Python and shell; a name is never passed to a shell."""
    if callable(text):
        return text
    for kind in ("python", "shell"):
        if text.startswith(f"{kind}:"):
            return Hook(kind, text.removeprefix(f"{kind}:").strip())
    return Hook("python" if _DOTTED.match(text.strip()) else "shell", text.strip())


def text(hook: str | Callable[..., Any]) -> str:
    """The hook as it is written in a parameter file."""
    if isinstance(hook, str):
        return hook
    owner = hook if hasattr(hook, "__qualname__") else type(hook)
    return f"python:{owner.__module__}.{owner.__qualname__}"


def is_shell(hook: str | Callable[..., Any]) -> bool:
    """Whether the hook is a command of the shell."""
    parsed = parse(hook)
    return isinstance(parsed, Hook) and parsed.kind == "shell"


def replaces(hook: str | Callable[..., Any]) -> bool:
    """Whether the hook may change the data; a command without `{output}` only inspects them."""
    return not is_shell(hook) or "{output}" in text(hook)


def run_all(
    hooks: Sequence[str | Callable[..., Any]],
    model: DataModel,
    log: logging.Logger,
    limit: float | None = None,
) -> DataModel:
    """Run hooks in order, each on the result of the one before; see `run`."""
    for hook in hooks:
        model = run(hook, model, log, limit)
    return model


def run(
    given: str | Callable[..., Any],
    model: DataModel,
    log: logging.Logger,
    limit: float | None = None,
) -> DataModel:
    """Run one hook; return its result.

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
        When it cannot be imported or is not a function.
    """
    hook = parse(text)
    return _function(hook) if isinstance(hook, Hook) else hook


def _function(hook: Hook) -> Callable[..., Any]:
    module_name, _, name = hook.text.rpartition(".")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: data lie there, too
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:
        raise HookError(
            f'hook "{hook.text}": importing it failed: {type(error).__name__}: {error}. It was not '
            f'passed to a shell; write "shell:{hook.text}" if it is a command.'
        ) from error
    if not callable(found):
        raise HookError(
            f'hook "{hook.text}" is {with_article(type(found).__name__)}, allowed: a function.'
        )
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
    """The result of a hook, if it is a model of the same kind."""
    if type(made) is not type(before):
        kinds = [with_article(type(model).__name__) for model in (made, before)]
        raise HookError(f"{what} {kinds[0]}, allowed: {kinds[1]}.")
    return made


# --- shell -----------------------------------------------------------------------------------------


def _run_shell(hook: Hook, model: DataModel, log: logging.Logger, limit: float | None) -> DataModel:
    with tempfile.TemporaryDirectory(prefix="stpipe-hook-") as folder:
        source, target = (Path(folder, way, _file_name(model)) for way in ("in", "out"))
        for path in (source, target):
            path.parent.mkdir()
        model.copy().save(source)
        named = str(model.get("meta.filename") or "")
        _stream(_command(hook.text, source, target), log, limit, named)
        if "{output}" not in hook.text:
            return model
        if not target.is_file():
            raise HookError(f'hook "{hook.text}" made no {{output}} file.')
        return _read(hook, target, model)


def _file_name(model: DataModel) -> str:
    """The name of the exposure: tools derive names of their own from it.

    It comes from a header, and a command may quote it once more (`sh -c "wc -c {input}"`): characters
    that mean something to a shell become underscores.
    """
    name = re.sub(
        r"[^\w.+-]", "_", Path(model.get("meta.filename") or "input").name, flags=re.ASCII
    )
    name = naming.writable(name[-200:].lstrip("-.") or "input")
    return name if name.endswith(naming.EXTENSIONS) else f"{name}{model.extension}"


def _command(text: str, source: Path, target: Path) -> str:
    # Plain replacement, not str.format: braces of awk and the shell must survive.
    paths = {"input": shlex.quote(str(source)), "output": shlex.quote(str(target))}
    return _PLACE.sub(lambda place: paths[place[2]], text)


def _stream(command: str, log: logging.Logger, limit: float | None, named: str) -> None:
    """Run a shell command; every line it prints goes to the log as it comes.

    The exposure's own name, whatever characters it has, is in the environment as STPIPE_FILENAME.
    """
    with subprocess.Popen(  # noqa: S602 - running the user's own command line is what a hook is
        command,
        shell=True,
        env={**os.environ, "STPIPE_FILENAME": named.replace("\0", "")},
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
            f'hook "{command}" took longer than {limit:g} s (hook_timeout) and was stopped.'
        )
    if code := process.returncode:
        end = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise HookError(f'hook "{command}" failed with {end}.')


def _log_output(process: subprocess.Popen[str], log: logging.Logger) -> None:
    stream = process.stdout
    # In pieces: a line may be of any length.
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


def _read(hook: Hook, target: Path, before: DataModel) -> DataModel:
    """The result of a command, read into memory, as its file is temporary."""
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
