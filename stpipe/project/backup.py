"""Keeping: a product that is made again stays available until its successor is there.

Snakemake deletes a product before it runs the job that makes it again, and a job that fails leaves
nothing. While a run lasts, second names of the files that it will make again are kept; what is missing
at its end gets its old file back, with what Snakemake knew of it, so that the next run tries again.
"""

from __future__ import annotations

import os
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stpipe.system import folders

__all__ = ["forget", "give_back", "keep", "to_be_made"]

FOLDER = Path(".stflow/kept")
RECORDS = Path(".snakemake/metadata")


def to_be_made(workflow: Any, products: Iterable[str]) -> set[str]:
    """Those of `products` that a run of Snakemake will make; all where it does not tell."""
    try:
        made = {str(file) for job in workflow.dag.needrun_jobs() for file in job.output}
    except AttributeError:  # no promise of Snakemake's
        return set(products)
    return made & set(products)


def keep(paths: Iterable[str]) -> None:
    """Give files and folders a second name for the time of this process."""
    own = FOLDER / str(os.getpid())
    shutil.rmtree(own, ignore_errors=True)
    _forget_the_dead()
    for path in map(Path, paths):
        if path.exists() and not path.is_absolute():
            _link(path, own / "products" / path)
            record = RECORDS / _record(path)
            if record.is_file():
                (own / "records").mkdir(parents=True, exist_ok=True)
                # A copy: Snakemake writes into the file.
                shutil.copy2(record, own / "records")


def forget() -> None:
    """Let go of what was kept: everything was made again."""
    shutil.rmtree(FOLDER / str(os.getpid()), ignore_errors=True)


def give_back() -> list[str]:
    """Put back what is missing; returns the paths."""
    own = FOLDER / str(os.getpid())
    found = []
    for path in _kept(own / "products"):
        if not path.exists():
            _link(own / "products" / path, path)
            found.append(str(path))
            record = own / "records" / _record(path)
            if record.is_file():
                shutil.copy2(record, RECORDS)
    forget()
    return found


def _kept(folder: Path) -> list[Path]:
    """Products by their paths: folders of parts stand as a whole one level below `cal`."""
    found = [entry for group in folder.glob("*") for entry in group.iterdir()]
    return [entry.relative_to(folder) for entry in found]


def _record(path: Path) -> str:
    """The name under which Snakemake remembers how a file was made."""
    return urlsafe_b64encode(str(path).encode()).decode()


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=folders.link)
    else:
        folders.link(source, target)


def _forget_the_dead() -> None:
    """Remove what runs left that were killed: the next run makes the missing products anyway."""
    for folder in FOLDER.glob("*"):
        if not Path("/proc", folder.name).exists() and Path("/proc").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
