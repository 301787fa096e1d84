"""What a process need not spend time on."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["loading"]

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


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
