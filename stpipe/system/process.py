"""Settings of a process that save time: threads, garbage collection, memory."""

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
    """Load modules without starting threads of OpenBLAS and without garbage collection.

    OpenBLAS starts its threads when numpy is imported. The environment is restored for commands that
    run later, such as hooks.
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
    """Have the C library, if it can, keep freed memory for the next arrays.

    Bands come and go. Each would otherwise get new memory, which the kernel clears page by page.
    """
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
