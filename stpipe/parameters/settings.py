"""Settings: values of parameters as given, each with its origin, before they are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Configuration", "Raw", "Settings"]


@dataclass(frozen=True)
class Raw:
    """A value as given, and where: `sloper.cfg:4`, `command line`, `keyword`."""

    value: Any
    where: str
    folder: Path | None = None  # of relative input files; None: the working directory


@dataclass
class Settings:
    """What one source says about a step and its substeps."""

    values: dict[str, Raw] = field(default_factory=dict)
    steps: dict[str, Settings] = field(default_factory=dict)
    where: str = ""  # the heading of a section in a file

    def over(self, lower: Settings) -> Settings:
        """These settings, and those of `lower` for what they do not set."""
        names = {**lower.steps, **self.steps}
        empty = Settings()
        return Settings(
            {**lower.values, **self.values},
            {n: self.steps.get(n, empty).over(lower.steps.get(n, empty)) for n in names},
            self.where or lower.where,
        )

    def substep(self, name: str) -> Settings:
        """The settings of a substep, empty ones if there are none yet."""
        return self.steps.setdefault(name, Settings())

    def place(self) -> str:
        """Where the first of these settings was given."""
        inner = [step.place() for step in self.steps.values()]
        places = [self.where, *(raw.where for raw in self.values.values()), *inner]
        return next((place for place in places if place), "")


@dataclass
class Configuration:
    """A parameter file: which class it is for, its settings, `[logging]` and, of a job, `[job]`."""

    target: str | None
    settings: Settings
    logging: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    job: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Parameters:
    """Resolved parameters of a step: values, the source of each, and the same for its substeps."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    steps: Mapping[str, Parameters] = field(default_factory=dict)
