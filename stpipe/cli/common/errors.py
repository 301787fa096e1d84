"""From exceptions to one message on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from stpipe.errors import StpipeError

__all__ = ["guarded"]

PIPE_CLOSED = 141  # what shells report of a command that SIGPIPE has ended


def guarded(program: str, action: Callable[[], None], *, debug: bool) -> int:
    """Run `action`; print one message if it fails, and return the exit code.

    With `debug` the traceback is shown as well; the exit code stays the same.
    """
    try:
        action()
    except KeyboardInterrupt:
        return _report(program, "interrupted", 130, debug)
    except BrokenPipeError:
        # The reader of the output has closed the pipe (`strun --list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - a failing step must not greet its user with a traceback
        code = error.exit_code if isinstance(error, StpipeError) else 1
        return _report(program, _told(error), code, debug)
    return 0


def _told(error: Exception) -> str:
    """What to tell the user of an error."""
    if isinstance(error, StpipeError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        return _of_system(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    return f"{text}\nRun again with --debug for the traceback."


def _of_system(error: OSError) -> str:
    """What the system refuses, such as a folder on a full disk."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; check the path, its permissions and the space on the disk."


def _report(program: str, text: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    first, *rest = text.splitlines() or [""]
    print(f"{program}: error: {first}", file=sys.stderr)
    for line in rest:
        print(f"  {line}", file=sys.stderr)
    return code
