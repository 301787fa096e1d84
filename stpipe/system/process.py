"""What a process need not spend time on."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["loading", "reuse_memory"]

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
# Parameters of mallopt(3), and bytes: arrays of a band, and a few of them.
TRIM_THRESHOLD, KEPT_BYTES = -1, 60_000_000
MMAP_THRESHOLD, LARGE_BYTES = -3, 30_000_000


@contextmanager
def loading() -> Iterator[None]:
    """Load modules without threads that nobody asked for, and without looking for garbage in them.

    OpenBLAS starts its threads when numpy is imported. Commands that are run later, such as hooks, find
    the environment as it was.
    """
    chosen = os.environ.setdefault(BLAS_THREADS, "")
    os.environ[BLAS_THREADS] = chosen or "1"
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if chosen:
            os.environ[BLAS_THREADS] = chosen
        else:
            del os.environ[BLAS_THREADS]


def reuse_memory() -> None:
    """Let memory that is freed serve what comes next, where the C library can be told to.

    Arrays of bands come and go. From the kernel each would come anew, to be cleared page by page.
    """
    import ctypes

    if tell := getattr(ctypes.CDLL(None), "mallopt", None):
        tell(MMAP_THRESHOLD, LARGE_BYTES)
        tell(TRIM_THRESHOLD, KEPT_BYTES)
