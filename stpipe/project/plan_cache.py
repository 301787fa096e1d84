"""Cache: the plan of each exposure, and whether it is still valid.

The files that decide a plan are compared by path, size and times; a plan for which none has changed is
taken from `.stflow/plan.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stpipe.parameters import defaults
from stpipe.project.config import Project
from stpipe.project.fingerprint import source_files
from stpipe.system.atomic import write_text
from stpipe.system.software import VERSION

__all__ = ["State", "Validity", "recall", "remember", "state"]

CACHE = Path(".stflow/plan.json")
State = list[int]  # size of a file, and the times when its content and its entry changed


def state(path: str | Path) -> State:
    """What changes when the content of a file does, also where a copy keeps the original's time."""
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


class Validity:
    """Whether a plan is still valid: nothing that it depends on has changed since it was made.

    Exposures share reference files, code and jobs: each file is checked once.
    """

    def __init__(self) -> None:
        self._states: dict[str, State | None] = {}

    def __call__(self, exposure: Mapping[str, Any]) -> bool:
        """Compare every file that the plan names."""
        same = all(self._state(p) == before for p, before in exposure["depends_on"].items())
        jobs = (entry["job"] for rules in exposure["jobs"].values() for entry in rules.values())
        return same and all(self._state(job) is not None for job in jobs)

    def _state(self, path: str) -> State | None:
        if path not in self._states:
            try:
                self._states[path] = state(path)
            except OSError:
                self._states[path] = None
        return self._states[path]


def recall(project: Project) -> dict[str, list[Any]]:
    """Plans of exposures by source; none if the cache is absent, unreadable or outdated."""
    found: dict[str, list[Any]] = {}
    try:
        content = json.loads(CACHE.read_text(encoding="utf-8"))
        if content["key"] == _key(project):
            for exposure in content["exposures"]:
                found.setdefault(exposure["source"], []).append(exposure)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found


def remember(project: Project, exposures: Iterable[Mapping[str, Any]]) -> None:
    """Replace the cache atomically."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    content = {"key": _key(project), "exposures": list(exposures)}
    write_text(CACHE, json.dumps(content))


def _key(project: Project) -> list[Any]:
    """What all exposures depend on; a change traces everything again."""
    rules = list(Path(project.references).glob("rules.*")) if project.references else []
    code = [str(file) for p in project.pipelines() for file in source_files(p)]
    parts = (*project.parameters, *code, *map(str, rules))
    files = [p for p in parts if Path(p).is_file()]
    names = ("CRDS_PATH", "CRDS_CONTEXT", "CRDS_SERVER_URL", defaults.SWITCH)
    crds = [os.environ.get(name) for name in names]
    states = [[p, *state(p)] for p in files]
    where = [project.crds_context, project.references, crds]
    kept = [project.keep, project.granularity]
    return [VERSION, list(project.stages), where, kept, states]
