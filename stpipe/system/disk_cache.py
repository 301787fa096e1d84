"""What earlier runs found out, kept in the user's cache folder so that later ones need not.

Small files of JSON in `stpipe-flow` below XDG_CACHE_HOME (else ~/.cache); STPIPE_MEMORY names another
folder, or is `off`. Nothing depends on them: what is not there, or can not be kept, is found out again.
Who recalls something must see for himself that it still holds: `state_of` tells whether a file is the
one it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from stpipe.errors import StpipeError
from stpipe.system.atomic import write_text

__all__ = ["keep", "recall", "state_of"]

SETTING = "STPIPE_MEMORY"


def recall(*key: object) -> Any:
    """What was kept under a key; None when nothing was."""
    path = _path(key)
    if path is not None:
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text())
    return None


def keep(content: object, *key: object) -> None:
    """Keep something that JSON can hold."""
    path = _path(key)
    if path is None:
        return
    with contextlib.suppress(OSError, StpipeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content))


def state_of(path: str | Path) -> list[int] | None:
    """What changes when a file does; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _path(key: tuple[object, ...]) -> Path | None:
    """The file of a key; None when nothing is to be kept."""
    chosen = os.environ.get(SETTING)
    if chosen == "off":
        return None
    folder = _folder(chosen, os.environ.get("XDG_CACHE_HOME"))
    name = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()
    return Path(f"{folder}/{name[:2]}/{name[2:34]}.json")


@lru_cache(maxsize=8)
def _folder(chosen: str | None, cache: str | None) -> str:
    return chosen or str(Path(cache or Path.home() / ".cache") / "stpipe-flow")
