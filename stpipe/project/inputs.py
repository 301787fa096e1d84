"""Inputs of a project: whether they hold what products were made from.

Snakemake compares times. A backup that is put back, `cp -p` and `rsync -t` give an input other content
and an older time, which it takes for the same file. So jobs note what their inputs held; a file whose
size or times have changed since is read again, and its content decides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stpipe.project.integrity import content_of
from stpipe.project.plan_cache import state
from stpipe.system.atomic import write_text

__all__ = ["change", "is_changed", "note"]

NOTES = Path(".stflow/inputs")


def is_changed(path: str | Path) -> bool:
    """Whether an input holds something else than when a job read it last."""
    known = _known(Path(path))
    return bool(known) and known["read"] != _now(Path(path), known)["content"]


def note(paths: Iterable[Path]) -> None:
    """Note what inputs hold that a job has just read; they are still in the system's cache."""
    for path in paths:
        before = _known(path)
        now, content = state(path), content_of(path)
        if state(path) == now:  # nobody is writing it
            first = before.get("first", content)
            _write(path, {"state": now, "content": content, "read": content, "first": first})


def change(path: str | Path) -> str:
    """What tells the content of an input from that which a job read first; empty while it is that."""
    known = _known(Path(path))
    if not known:
        return ""
    content = _now(Path(path), known)["content"]
    return "" if content == known["first"] else f"{path}: {content}"


def _now(path: Path, known: dict[str, Any]) -> dict[str, Any]:
    """What is known of an input, read again when its size or times have changed."""
    if (now := state(path)) != known["state"]:
        known = known | {"state": now, "content": content_of(path)}
        _write(path, known)
    return known


def _known(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_place(path).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write(path: Path, content: dict[str, Any]) -> None:
    place = _place(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place, json.dumps(content))


def _place(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return NOTES / f"{name}.json"
