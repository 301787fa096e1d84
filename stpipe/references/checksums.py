"""Checksums of reference files, cached as long as a file does not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import TypeAlias

from stpipe.system import disk_cache

__all__ = ["State", "hash_ahead", "sha256"]


def sha256(path: Path) -> str:
    """Checksum of a file's content, computed once for each state of the file."""
    known = _state(path)
    return _AHEAD[known].result() if known in _AHEAD else _sha256(*known)


def hash_ahead(paths: Iterable[Path]) -> None:
    """Start computing checksums that will be needed, in this order, in a thread of their own."""
    ahead = {state: Future[str]() for state in map(_state, paths) if state not in _AHEAD}
    _AHEAD.update(ahead)
    if ahead:
        # A daemon thread does not keep the process alive.
        Thread(target=_hash, args=(ahead,), daemon=True).start()


State: TypeAlias = "tuple[Path, tuple[int, ...] | None]"


_AHEAD: dict[State, Future[str]] = {}


def _state(path: Path) -> State:
    state = disk_cache.state_of(path)
    return path.absolute(), None if state is None else tuple(state)


def _hash(ahead: Mapping[State, Future[str]]) -> None:
    for state, future in ahead.items():
        try:
            future.set_result(_sha256(*state))
        except Exception as error:  # noqa: BLE001 - it is raised where the checksum is asked for
            future.set_exception(error)


@lru_cache(maxsize=1024)
def _sha256(path: Path, state: tuple[int, ...] | None) -> str:
    del state  # part of the cache's key only
    return str(disk_cache.of_file(path, lambda: _digest(path), "sha256"))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
