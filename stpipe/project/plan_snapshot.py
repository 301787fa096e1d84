"""Snapshot: the plan that the jobs of a run follow on a cluster, whatever is edited meanwhile.

A job that a scheduler starts reads the Snakefile again, maybe hours after the run began. It must not
plan anew from a configuration that was edited since: it would make other products than the run that
waits for it records. The run names its plan in an environment variable that its jobs inherit.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stpipe.system import folders

__all__ = ["freeze", "plan"]

VARIABLE = "STFLOW_PLAN"
FOLDER = Path(".stflow/plans")
KEPT_FOR = 30 * 86400  # s; no scheduler lets a job wait and run for longer


def freeze(remembered: Path) -> None:
    """Let every process that is started from here follow the plan in the file `remembered`.

    The file is only ever replaced as a whole, so a second name for it keeps what it holds now.
    """
    if VARIABLE in os.environ or not remembered.is_file():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    _prune()
    own = FOLDER / f"{secrets.token_hex(8)}.partial"
    folders.link(remembered, own)
    kept = FOLDER / f"{own.stat().st_mtime_ns}.json"
    own.replace(kept)
    # Renaming one name of a file to another name of the same file keeps both.
    own.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(kept.resolve())


def plan() -> Mapping[str, Any] | None:
    """The plan of the run that this process is a job of; None in the run itself."""
    path = Path(os.environ.get(VARIABLE, ""))
    # A job may start snakemake in another project, which has a plan of its own.
    if path.parent != FOLDER.resolve() or not path.is_file():
        return None
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _prune() -> None:
    for path in FOLDER.iterdir():
        if time.time() - path.stat().st_mtime > KEPT_FOR:
            path.unlink(missing_ok=True)
