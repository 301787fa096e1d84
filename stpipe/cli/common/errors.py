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
    except StpipeError as error:
        return _report(program, str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        return _report(program, "interrupted", 130, debug)
    except BrokenPipeError:
        # The reader of the output has closed the pipe (`strun --list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except MemoryError as error:
        return _report(program, f"out of memory: {error}", 1, debug)
    except Exception as error:  # noqa: BLE001 - a failing step must not greet its user with a traceback
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        return _report(program, f"{text}\nRun again with --debug for the traceback.", 1, debug)
    return 0


def _report(program: str, text: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    first, *rest = text.splitlines() or [""]
    print(f"{program}: error: {first}", file=sys.stderr)
    for line in rest:
        print(f"  {line}", file=sys.stderr)
    return code
