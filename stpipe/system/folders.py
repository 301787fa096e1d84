"""Folders of files that one step makes together: complete or absent, with an index."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stpipe.errors import InputError, StpipeError
from stpipe.system.atomic import write_text

__all__ = ["INDEX", "files", "final", "link", "replacing", "write_index"]

INDEX = "files.json"
_PARTIAL = ".partial-"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new folder that replaces `target` at the end, or not at all if anything fails."""
    temporary = target.with_name(f".{target.name}{_PARTIAL}{secrets.token_hex(8)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        old = target.with_name(f"{temporary.name}-old")
        if target.exists():
            target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StpipeError(
            f"{target} cannot be written: {error.strerror or error}; "
            "check the folder, its permissions and the space on the disk."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def final(path: Path) -> Path:
    """The final path of a file in a new folder."""
    name = path.parent.name.removeprefix(".").partition(_PARTIAL)[0]
    return path.parent.with_name(name) / path.name


def link(source: str | Path, target: str | Path) -> None:
    """Make a hard link, or a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def write_index(folder: Path, names: Sequence[str]) -> None:
    """Write the index: the names of the files, in order."""
    text = json.dumps({"files": list(names)}, indent=1) + "\n"
    write_text(folder / INDEX, text)


def files(folder: Path) -> list[Path]:
    """The files of a folder, in their order.

    Raises
    ------
    InputError
        When it has no index, or a file is missing.
    """
    try:
        names = json.loads((folder / INDEX).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder} is not a folder of products: it has no readable {INDEX}. Rebuild it."
        ) from None
    # Only names: an index never leads out of its folder.
    found = [folder / Path(name).name for name in names]
    if missing := [str(path) for path in found if not path.is_file()]:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(f"{folder}: {', '.join(missing)} {verb} missing. Rebuild the folder.")
    return found
