"""Results of earlier runs, kept in the user's cache folder so that later runs need not repeat them.

Small JSON files in `stpipe-flow` of the system's folder for caches (~/.cache on Linux, or that of
XDG_CACHE_HOME); STPIPE_MEMORY names another folder, or is `off`. Nothing depends on them: what is
missing, or cannot be kept, is computed again. Callers have to check that a result is still valid:
`state_of` shows whether a file has changed; `of_file` checks it for what depends on one file alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from stpipe.errors import StpipeError
from stpipe.system.atomic import write_text

__all__ = ["keep", "of_file", "recall", "state_of"]

SETTING = "STPIPE_MEMORY"
SETTLED = 2_000_000_000  # ns after which any change of a file shows in its time stamps


def recall(*key: object) -> Any:
    """The cached value of a key; None if there is none."""
    path = _path(key)
    if path is not None:
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text())
    return None


def keep(content: object, *key: object) -> None:
    """Cache a value that JSON can represent."""
    path = _path(key)
    if path is None:
        return
    with contextlib.suppress(OSError, StpipeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content))


def of_file(path: Path, find: Callable[[], Any], *key: object) -> Any:
    """What `find` makes of a file's content, as JSON has it: found once for each state of the file."""
    state = state_of(path)
    kept = recall(*key, path, state)
    if kept is not None:
        return kept
    started = time.time_ns()
    found = find()
    # A file written a moment ago may change again within a tick of the file system's clock.
    if state and started - max(state[-2:]) > SETTLED and state_of(path) == state:
        keep(found, *key, path, state)
    return found


def state_of(path: str | Path) -> list[int] | None:
    """Numbers that change when a file changes; None if there is no file."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _path(key: tuple[object, ...]) -> Path | None:
    """The file of a key; None if the cache is switched off."""
    chosen = os.environ.get(SETTING)
    if chosen == "off":
        return None
    folder = _folder(chosen, os.environ.get("XDG_CACHE_HOME"))
    name = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()
    return Path(f"{folder}/{name[:2]}/{name[2:34]}.json")


@lru_cache(maxsize=8)
def _folder(chosen: str | None, cache: str | None) -> str:
    del cache  # platformdirs asks for it; another value is another folder
    if chosen:
        return chosen
    from platformdirs import user_cache_path

    return str(user_cache_path("stpipe-flow"))
