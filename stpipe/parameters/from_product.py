"""From a product: the parameters that it was made with, as its history records them.

A product may come from anywhere, so that it starts no program and chooses no file to write: hooks and
classes that are not installed are told of, for the user to name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.errors import InputError, ReferenceMissing, did_you_mean
from stpipe.models.history import HOOK
from stpipe.parameters.settings import Raw, Settings
from stpipe.parameters.specs import OVERRIDE, USERS_OWN, rules
from stpipe.references.checksums import sha256
from stpipe.references.selection import NOT_APPLICABLE
from stpipe.registry import entries, public_name

if TYPE_CHECKING:
    from stpipe.parameters.declaration import Declaration

__all__ = ["from_product", "target_of"]

_log = logging.getLogger("stpipe.parameters")


def from_product(step: type[Declaration], path: str | Path, given: Settings) -> Settings:
    """Parameters of `step`, and of its substeps, as the history of a product has them.

    Reference files that a user had put in are looked for beside the product and in the current
    directory, and taken when their content is the same; `given` is what the user says now.

    Raises
    ------
    InputError
        When the product cannot be read or nothing in its history belongs to `step`.
    ReferenceMissing
        When such a reference file is not found and `given` names none.
    """
    history = _history(path)
    repeat = _Repeat(step, Path(path), given)
    found = Settings(where=repeat.where)
    for record in history:
        repeat.add(found, record)
    if not (found.values or found.steps):
        made = ", ".join(dict.fromkeys(r["step"] for r in history)) or "nothing"
        raise InputError(
            f"{path}: its history has no record of {step.alias or step.__name__}; it has {made}."
        )
    if repeat.missing:
        raise ReferenceMissing("\n".join(repeat.missing))
    return found


def target_of(path: str | Path) -> str:
    """The class of the pipeline, or else of the last step, that made a product.

    Raises
    ------
    InputError
        When the product cannot be read, has no history, or names a class that is not installed.
    """
    ran = [record for record in _history(path) if record["status"] == "COMPLETE"]
    if not ran:
        raise InputError(f"{path}: it has no history to repeat.")
    pipelines = ran[-1].get("pipelines") or [ran[-1]]
    name = public_name(str(pipelines[0]["class"]))
    if name not in {public_name(entry.target) for entry in entries()}:
        raise InputError(
            f"{path} was made by {name}, which is no step or pipeline of an installed package. If you "
            f"trust it, name it: strun {name} --like={path} INPUT..."
        )
    return name


def _history(path: str | Path) -> list[Mapping[str, Any]]:
    from stpipe import models

    with models.open(path) as product:
        return [r for r in product.provenance if {"step", "class", "status"} <= r.keys()]


@dataclass
class _Repeat:
    """One step or pipeline, and one product to repeat."""

    step: type[Declaration]
    path: Path
    given: Settings

    def __post_init__(self) -> None:
        self.where = f"like {self.path.name}"
        self.missing: list[str] = []
        self.places = dict(_places(self.step))

    def add(self, found: Settings, record: Mapping[str, Any]) -> None:
        """Take the parameters of one record, which replace earlier ones of the same step."""
        for pipeline in record.get("pipelines", ()):
            place = self._place(pipeline)
            if place is not None:
                self._fill(_node(found, place), place, pipeline["parameters"])
        place = self._place(record)
        if place is None:
            return
        if record["status"] == HOOK:
            self._refuse(place, record)
        elif record["status"] == "COMPLETE":
            self._fill(_node(found, place), place, record["parameters"] | {"skip": False})
            self._overrides(place, found, record.get("references", {}))
        elif record.get("source"):
            _node(found, place).values["skip"] = Raw(True, self.where)

    def _place(self, record: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Where in the pipeline a record belongs: by name, else as the only step of its class."""
        named = tuple(str(record["step"]).split("."))
        recorded = public_name(str(record["class"]))  # earlier versions recorded the module
        if self.places.get(named) == recorded:
            return named
        same = [place for place, target in self.places.items() if target == recorded]
        return same[0] if len(same) == 1 else None

    def _fill(self, node: Settings, place: tuple[str, ...], values: Mapping[str, Any]) -> None:
        cls = self.step
        for name in place:
            cls = cls.step_defs[name]
        known = rules(cls)
        for name, value in values.items():
            if name in USERS_OWN:
                continue
            if name in known:
                node.values[name] = Raw(value, self.where)
            else:
                label = ".".join((*place, name))
                _log.warning(
                    '%s: this version has no parameter "%s"%s; it is ignored.',
                    self.where,
                    label,
                    did_you_mean(name, known),
                )

    def _refuse(self, place: tuple[str, ...], record: Mapping[str, Any]) -> None:
        parameter = "".join(f"steps.{name}." for name in place) + str(record["when"])
        _log.warning(
            "%s: a hook of %s was %r; a product starts no program. If you trust it: --%s=...",
            self.where,
            record["step"],
            record["hook"],
            parameter,
        )

    def _overrides(
        self, place: tuple[str, ...], found: Settings, references: Mapping[str, Any]
    ) -> None:
        for reference_type, record in references.items():
            name = f"{OVERRIDE}{reference_type}"
            if record.get("origin") != "override" or self._given(place, name):
                continue
            value = self._override(record)
            if value is not None:
                _node(found, place).values[name] = Raw(value, self.where)
            else:
                self.missing.append(
                    f"{self.where}: {name} was {record['name']} (SHA-256 {record['sha256'][:12]}...), "
                    f"which is neither in {self.path.parent} nor in {Path.cwd()}. Give "
                    f"--{name}=PATH, or --{name}= to have one selected."
                )

    def _given(self, place: tuple[str, ...], name: str) -> bool:
        """Whether the user gives the file, for the step or for all steps."""
        node = self.given
        if name in node.values:
            return True
        for step in place:
            node = node.steps.get(step, Settings())
        return name in node.values

    def _override(self, record: Mapping[str, Any]) -> str | None:
        if record["name"] == NOT_APPLICABLE:
            return NOT_APPLICABLE
        places = (self.path.parent / record["name"], Path(record["name"]))
        same = (p for p in places if p.is_file() and sha256(p) == record.get("sha256"))
        return next((str(path) for path in same), None)


def _places(
    step: type[Declaration], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every step of a pipeline, itself first, by its names on the way and its class."""
    yield place, step.target()
    for name, substep in step.step_defs.items():
        yield from _places(substep, (*place, name))


def _node(settings: Settings, place: tuple[str, ...]) -> Settings:
    for name in place:
        settings = settings.substep(name)
    return settings
