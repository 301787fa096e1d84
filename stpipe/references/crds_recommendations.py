"""Recommendations of CRDS, cached so that the client need not be asked again.

The client takes half a second to be imported, more than many steps need for their work. Without a
server its answers follow from files alone: the same exposure, or another that the rules cannot tell
from it, gets the cached answer (`stpipe.system.disk_cache`), as long as nothing that it depends on has
changed: the client's version, the CRDS settings of the environment, its configuration in the cache,
the rules that were read, and the files that they name. With a server the client is always asked.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.references.selection import Reference
from stpipe.system import disk_cache, software

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = ["NOT_FOUND", "Answers", "Grounds", "Question", "situation"]

NOT_FOUND = "NOT FOUND"
DATE, TIME = "meta.observation.date", "meta.observation.time"


@dataclass(frozen=True)
class Answers:
    """Recommendations of CRDS by reference type: a file name, or NOT FOUND and the reason."""

    context: str
    names: Mapping[str, str]
    places: Mapping[str, str]  # of the files, in the cache

    def has(self, reference_type: str) -> bool:
        """Whether there is a file."""
        return not self.names[reference_type].startswith(NOT_FOUND)

    def reference(self, reference_type: str) -> Reference:
        """The file of a type that has one."""
        path = Path(self.places[self.names[reference_type]])
        return Reference(reference_type, path, self.context)


@dataclass(frozen=True)
class Grounds:
    """What recommendations depend on."""

    asks: list[str]  # metadata that the rules look at
    since: list[str]  # dates from which on rules name other files
    rules: list[str]  # files that hold them

    def exposure(self, meta: FlatMetadata) -> list[Any]:
        """The metadata of an exposure that the rules use."""
        values = {name: meta.get(name) for name in self.asks}
        with contextlib.suppress(ValueError):
            values[DATE] = self._dates_before(f"{values[DATE]} {values[TIME]}")
            values[TIME] = None
        # Reference files have criteria in a form of their own, which the client would translate.
        patterns = [(name, meta[name]) for name in sorted(meta) if ".p_" in name]
        return [sorted(values.items()), patterns]

    def _dates_before(self, moment: str) -> list[int]:
        """How many dates lie before a moment, and how many not after it."""
        dates = sorted(datetime.fromisoformat(date) for date in self.since)
        taken = datetime.fromisoformat(moment)
        return [bisect_left(dates, taken), bisect_right(dates, taken)]


@dataclass(frozen=True)
class Question:
    """Types that are asked for an exposure, in a state of the cache."""

    meta: FlatMetadata
    types: list[str]
    situation: list[Any]

    def recall(self) -> Answers | None:
        """The cached recommendations; None if there are none or they may be outdated."""
        known = disk_cache.recall(*self._key)
        kept = (
            disk_cache.recall(*self._key, Grounds(**known).exposure(self.meta)) if known else None
        )
        if kept is None or _states(known["rules"]) != kept["states"]:
            return None
        answers = Answers(kept["context"], kept["names"], kept["places"])
        there = all(Path(place).is_file() for place in answers.places.values())
        return answers if there else None

    def keep(self, answers: Answers, grounds: Grounds) -> None:
        """Cache recommendations and what they depend on."""
        disk_cache.keep(vars(grounds), *self._key)
        content = {**vars(answers), "states": _states(grounds.rules)}
        disk_cache.keep(content, *self._key, grounds.exposure(self.meta))

    @property
    def _key(self) -> list[Any]:
        instrument = str(self.meta.get("meta.instrument.name"))
        return [*self.situation, instrument, sorted(self.types)]


def situation(settings: Mapping[str, str]) -> list[Any] | None:
    """What recommendations depend on with these `settings`; None if a server may decide."""
    cache = settings.get("CRDS_PATH")
    own_file = Path(settings.get("CRDS_INI_FILE", "~/.crds.ini")).expanduser()
    if cache is None or "CRDS_SERVER_URL" in settings or own_file.exists():
        return None
    folder = Path(cache, "config")
    configuration = _states(path for path in sorted(folder.rglob("*")) if path.is_file())
    version = software.installed().get("crds")
    return ["crds", version, sorted(settings.items()), configuration]


def _states(paths: Iterable[str | Path]) -> list[list[Any]]:
    return [[str(path), disk_cache.state_of(path)] for path in paths]
