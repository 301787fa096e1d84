"""Integrity: size and CRC-32 of every product that a job of a project wrote.

Snakemake notices a product that is missing or older than its input, not one that was truncated or
changed. `stflow verify` compares products with their recorded checksums and sets aside those that have
changed since they were written; the next run rebuilds them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from stpipe import naming
from stpipe.errors import InputError, UsageError
from stpipe.system import folders
from stpipe.system.atomic import write_text

__all__ = ["ASIDE", "content_of", "is_product", "missing", "record", "set_aside", "verify"]

RECORDS = Path(".stflow/made")
ASIDE = Path(".stflow/aside")
LOCKS = Path(".snakemake/locks")
_PIECE = 1 << 22


def record(paths: Iterable[Path]) -> None:
    """Record the checksums of products just written, which are still in the system's cache."""
    for path in paths:
        if not path.is_absolute():
            target = RECORDS / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_text(target, content_of(path) + "\n")


def is_product(path: str | Path) -> bool:
    """Whether a job of this project wrote the file, or the files of the folder."""
    return not Path(path).is_absolute() and (RECORDS / path).exists()


def verify(products: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Products that have changed since they were written, each with what is wrong."""
    for product in products:
        for path in _files(Path(product)):
            if problem := _problem(path):
                yield product, problem
                break


def set_aside(product: str) -> Path:
    """Move a product away; returns where it is now."""
    target = ASIDE / product
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while (place := target.with_name(f"{target.name}.{number}")).exists():
        number += 1
    return Path(product).rename(place)


def missing() -> set[str]:
    """Products that were set aside and have not been rebuilt."""
    found = (path.relative_to(ASIDE).with_suffix("") for path in ASIDE.glob("*/*"))
    return {str(product) for product in found if not product.exists()}


def refuse_while_running() -> None:
    """Refuse if a run is writing products, or was killed and left its locks.

    Raises
    ------
    UsageError
        Saying what to do.
    """
    if LOCKS.is_dir() and any(LOCKS.iterdir()):
        raise UsageError(
            "a run is in progress here, or was killed. Wait for its end, or unlock the project with "
            "stflow run --unlock."
        )


def _files(path: Path) -> list[Path]:
    """The files of a product: itself, or those of a folder."""
    if not path.is_dir():
        return [path] if path.exists() else []
    try:
        return [path / folders.INDEX, *folders.files(path)]
    except InputError:
        return [path / folders.INDEX]


def _problem(path: Path) -> str:
    recorded = RECORDS / path
    if recorded.is_file():
        return "" if recorded.read_text(encoding="ascii").strip() == content_of(path) else "altered"
    return _unreadable(path) if path.name.endswith(naming.EXTENSIONS) else ""


def _unreadable(path: Path) -> str:
    """What is wrong with the structure of a file that no job of this project wrote."""
    from stpipe import models

    try:
        models.open(path).close()
    except InputError as error:
        return str(error)
    return ""


def content_of(path: Path) -> str:
    """Size and CRC-32 of a file; "missing" if there is none, which equals no record."""
    if not path.is_file():
        return "missing"
    number = 0
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            number = zlib.crc32(piece, number)
    return f"{path.stat().st_size} {number:08x}"
