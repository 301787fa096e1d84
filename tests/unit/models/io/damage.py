"""Runs on its own, with little memory: open damaged files and tell, as JSON, what became of each."""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from operator import attrgetter
from pathlib import Path

from stpipe import models
from stpipe.errors import InputError

MEMORY = 1 << 30  # bytes of address space beyond what the interpreter has now
SECONDS = 5


def outcome(path: Path) -> str:
    """`refused`, `noticed` by its checksums, `accepted`, or what went wrong instead."""
    try:
        touch(models.open(path))
        models.open_metadata(path).to_flat_dict()
    except InputError as error:
        text = str(error)
        return "refused" if path.name in text and "\n" not in text else f"unclear: {text}"
    except BaseException as error:  # noqa: BLE001 - that is the question
        return f"{type(error).__name__}: {error}"
    return "noticed" if any(each.problem for each in models.verify(path)) else "accepted"


def touch(model: models.DataModel) -> None:
    """Everything that a model can give."""
    model.to_flat_dict()
    for name in model.schema.arrays:
        attrgetter(name)(model)
    for path in model.schema.lists:
        for part in attrgetter(path)(model):
            touch(part)


def main(folder: str) -> None:
    """Look at every file in a folder."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    found = {}
    for path in sorted(Path(folder).iterdir()):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: the machine may be busy
        start = time.perf_counter()
        found[path.name] = [outcome(path), time.perf_counter() - start]
        signal.setitimer(signal.ITIMER_PROF, 0)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
