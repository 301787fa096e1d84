"""Use a second core while the interpreter is free: numpy converts and the kernel copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["LARGE", "ahead", "shares", "together"]

T = TypeVar("T")

LARGE = 1 << 24  # bytes; less is done before a thread has begun
_MOST = 4  # memory is not quicker for more


def ahead(pieces: Iterator[T]) -> Iterator[T]:
    """The same pieces, each made by a thread while the one before it is used.

    Pieces that share memory must alternate between two buffers.
    """
    # Imported here: most files are small and need no thread.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, pieces, None)
            yield piece


def shares(nbytes: int) -> int:
    """Into how many shares work on so many bytes is best divided."""
    if nbytes < LARGE:
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed or 1, _MOST)


def together(jobs: Sequence[Callable[[], object]]) -> None:
    """Do all jobs at the same time; the first error of one is raised when all have ended."""
    if len(jobs) == 1:
        jobs[0]()
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(jobs)) as threads:
        for running in [threads.submit(job) for job in jobs]:
            running.result()
