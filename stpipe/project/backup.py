"""Backup: a product that is rebuilt stays available until its successor is there.

Snakemake deletes a product before it runs the job that rebuilds it, and a job that fails leaves
nothing. While a run lasts, the files that it will rebuild have second names; a product that is missing
at its end gets its old file back, with Snakemake's record of it, so that the next run tries again.
"""

from __future__ import annotations

import os
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stpipe.system import folders

__all__ = ["back_up", "discard_backup", "restore_missing", "to_be_made"]

FOLDER = Path(".stflow/kept")
RECORDS = Path(".snakemake/metadata")


def to_be_made(workflow: Any, products: Iterable[str]) -> set[str]:
    """Those of `products` that a run of Snakemake will make; all of them if it does not say."""
    try:
        made = {str(file) for job in workflow.dag.needrun_jobs() for file in job.output}
    except AttributeError:  # not a part of Snakemake's interface
        return set(products)
    return made & set(products)


def back_up(paths: Iterable[str]) -> None:
    """Give files and folders a second name for the time of this process."""
    own = FOLDER / str(os.getpid())
    shutil.rmtree(own, ignore_errors=True)
    _discard_of_ended()
    for path in map(Path, paths):
        if path.exists() and not path.is_absolute():
            _link(path, own / "products" / path)
            record = RECORDS / _record(path)
            if record.is_file():
                (own / "records").mkdir(parents=True, exist_ok=True)
                # A copy: Snakemake writes into the file.
                shutil.copy2(record, own / "records")


def discard_backup() -> None:
    """Remove the second names: everything was rebuilt."""
    shutil.rmtree(FOLDER / str(os.getpid()), ignore_errors=True)


def restore_missing() -> list[str]:
    """Put back the products that are missing; returns their paths."""
    own = FOLDER / str(os.getpid())
    found = []
    # One level below `cal`: a folder of parts is one product.
    for copy in list((own / "products").glob("*/*")):
        path = copy.relative_to(own / "products")
        if not path.exists():
            _link(copy, path)
            found.append(str(path))
            record = own / "records" / _record(path)
            if record.is_file():
                shutil.copy2(record, RECORDS)
    discard_backup()
    return found


def _record(path: Path) -> str:
    """The name of Snakemake's record of how a file was made."""
    return urlsafe_b64encode(str(path).encode()).decode()


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=folders.link)
    else:
        folders.link(source, target)


def _discard_of_ended() -> None:
    """Remove what killed runs left: the next run makes the missing products anyway."""
    for folder in FOLDER.glob("*"):
        if not Path("/proc", folder.name).exists() and Path("/proc").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
