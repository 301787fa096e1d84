"""Lock: the recorded context and reference files of a project.

`config/references.lock` records for every exposure which file of each type was selected, and the
SHA-256 of each file. If CRDS, or a directory of references, selects another file later, planning
stops: products of one project never mix two sets of references unnoticed. A file whose content has
changed is named, and the products that depend on it are rebuilt. Files that the user gives are not
recorded.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stpipe.errors import ReferenceMissing, UsageError
from stpipe.project.config import CONFIG, Project
from stpipe.references.checksums import sha256
from stpipe.references.selection import NOT_APPLICABLE, Reference
from stpipe.system.atomic import write_text

__all__ = ["LOCK", "Lock", "check_and_record", "compare", "pin", "selection", "update"]

log = logging.getLogger(__name__)

LOCK = Path("config/references.lock")
_HEADING = "Written by stflow; `stflow lock --update` records what is selected now."
Selection = Mapping[str, tuple[str, str]]  # name and SHA-256 of each type's file


@dataclass
class Lock:
    """The recorded context, checksums by file name, and file names by exposure and type."""

    context: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    exposures: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Lock | None:
        """The lock of the project in the working directory; None when it has none."""
        try:
            content = json.loads(LOCK.read_text(encoding="utf-8"))
            return cls(content["context"], content["files"], content["exposures"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReferenceMissing(
                f"{LOCK} cannot be understood ({error}): run stflow lock --update."
            ) from None

    def write(self) -> None:
        """Replace the file at once."""
        content = {
            "about": _HEADING,
            "context": self.context,
            "files": dict(sorted(self.files.items())),
            "exposures": dict(sorted(self.exposures.items())),
        }
        write_text(LOCK, json.dumps(content, indent=1) + "\n")

    def add(self, root: str, selected: Selection) -> bool:
        """Record files of an exposure that are not recorded yet; returns whether there were any."""
        recorded = self.exposures.setdefault(root, {})
        new = {t: file for t, file in selected.items() if t not in recorded}
        recorded.update({t: name for t, (name, _) in new.items()})
        self.files.update({name: number for name, number in new.values() if number})
        return bool(new)

    def drift(self, root: str, selected: Selection) -> Iterator[str]:
        """A sentence for each selected file that differs from the recorded one."""
        recorded = self.exposures.get(root, {})
        for reference_type, (name, _) in selected.items():
            before = recorded.get(reference_type, name)
            if before != name:
                yield f"{root}: {reference_type} is {name} now, it was {before}"

    def altered(self, selected: Selection) -> Iterator[str]:
        """A sentence for each file whose content has changed."""
        for reference_type, (name, number) in selected.items():
            if number and self.files.get(name, number) != number:
                yield (
                    f"the content of {name} ({reference_type}) changed: SHA-256 {number[:12]}..., it "
                    f"was {self.files[name][:12]}..."
                )


def selection(references: Mapping[str, Reference]) -> dict[str, tuple[str, str]]:
    """The references of an exposure to record: all but those that the user gives."""
    return {
        reference_type: (r.path.name, sha256(r.path)) if r.path else (NOT_APPLICABLE, "")
        for reference_type, r in references.items()
        if r.context or r.origin != "override"
    }


def check_and_record(project: Project, exposures: Mapping[str, Selection]) -> None:
    """Check exposures against the project's lock, if it has one, and record new ones.

    Raises
    ------
    ReferenceMissing
        With every file that differs from the recorded one.
    """
    lock = Lock.read()
    if lock is None:
        return
    _refuse(_drifted(lock, project, exposures))
    for sentence in _altered(lock, exposures):
        log.warning("%s. What depends on it is rebuilt; stflow lock --update accepts it.", sentence)
    new = [root for root, chosen in exposures.items() if lock.add(root, chosen)]
    if new:
        lock.write()


def compare(project: Project, exposures: Mapping[str, Selection]) -> None:
    """Refuse selected files that differ from the recorded ones, in name or content.

    Raises
    ------
    UsageError
        When the project has no lock.
    ReferenceMissing
        With every file that differs from the recorded one, in name or content.
    """
    lock = Lock.read()
    if lock is None:
        raise UsageError(f"the project has no {LOCK}: make one with stflow lock --update.")
    _refuse([*_drifted(lock, project, exposures), *_altered(lock, exposures)])


def _drifted(lock: Lock, project: Project, exposures: Mapping[str, Selection]) -> Iterator[str]:
    if lock.context != project.crds_context:
        yield f"the CRDS context is {project.crds_context} now, it was {lock.context}"
    for root, chosen in exposures.items():
        yield from lock.drift(root, chosen)


def _altered(lock: Lock, exposures: Mapping[str, Selection]) -> list[str]:
    found = (sentence for chosen in exposures.values() for sentence in lock.altered(chosen))
    return list(dict.fromkeys(found))


def _refuse(sentences: Iterable[str]) -> None:
    problems = [f"{sentence}." for sentence in sentences]
    if problems:
        raise ReferenceMissing(
            f"{LOCK} records other reference files than those selected now:\n"
            + "\n".join(problems)
            + "\nAccept them with stflow lock --update, or restore the previous ones."
        )


def pin(context: str) -> None:
    """Write another CRDS context into config.yaml, leaving everything else as it is."""
    text = CONFIG.read_text(encoding="utf-8")
    new, count = re.subn(r"(?m)^(\s+context:).*$", rf"\g<1> {context}", text, count=1)
    if not count:
        block = re.subn(r"(?m)^crds:\s*(\{\})?\s*$", f"crds:\n  context: {context}", text, count=1)
        new = block[0] if block[1] else f"{text.rstrip()}\ncrds:\n  context: {context}\n"
    write_text(CONFIG, new)


def update(project: Project, exposures: Mapping[str, Any]) -> Iterator[str]:
    """Record what is selected now; yields a line for each change."""
    before = Lock.read() or Lock(project.crds_context)
    lock = Lock(project.crds_context)
    if before.context != project.crds_context:
        yield f"context: {before.context} -> {project.crds_context}"
    for root, chosen in exposures.items():
        yield from before.drift(root, chosen)
        yield from before.altered(chosen)
        lock.add(root, chosen)
    lock.write()
    yield f"{LOCK}: {len(lock.files)} files for {len(lock.exposures)} exposures"
