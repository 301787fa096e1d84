"""Prepare the next piece of a file while the last one is being written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(pieces: Iterator[T]) -> Iterator[T]:
    """The same pieces, each made by a thread while the one before it is used.

    Pieces that share memory must alternate between two buffers. Worth it where both sides leave the
    interpreter free: the kernel copies what is written while numpy converts.
    """
    # Imported here: most files are small and need no thread.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, pieces, None)
            yield piece
