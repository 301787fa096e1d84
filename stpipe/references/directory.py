"""References from a plain directory with a rules file, for projects without CRDS.

The directory holds reference files and either `rules.json` or `rules.cfg`. For each type the rules
list files with what they ask of an exposure; the first file that fits is taken::

    {                                                 [gain]
      "gain": "gain.fits",                            [[gain.fits]]
      "dark": [
        {"file": "dark_nis.fits",                     [dark]
         "instrument.detector": "NIS",                [[dark_nis.fits]]
         "exposure.readpatt": "NIS|NISRAPID"},        instrument.detector = NIS
        {"file": "N/A"}                               exposure.readpatt = NIS|NISRAPID
      ]                                               [[N/A]]
    }

Names are those of metadata, with or without `meta.`; `|` separates alternatives; `N/A` says that a
type does not apply. Parameter files (`pars-jumpstep`) are types like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.errors import ReferenceMissing, did_you_mean
from stpipe.references.selection import NOT_APPLICABLE, Candidate, Explanation, Reference
from stpipe.system.safe_yaml import whole_number

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = ["DirectoryResolver"]

_NAMES = ("rules.json", "rules.cfg")


class DirectoryResolver:
    """Selection by the rules of a directory; see the module's text for their form.

    Raises
    ------
    ReferenceMissing
        When the directory has no rules, or rules that cannot be understood.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.rules_file = _rules_file(self.folder)
        self._rules = _read(self.rules_file)
        self.context = ""  # there is no CRDS context

    def select(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """The first file of each type that fits the exposure.

        Raises
        ------
        ReferenceMissing
            With every type that the rules lack, for which nothing fits, or whose file is not there.
        """
        problems: list[str] = []
        found = {}
        for reference_type in types:
            rule = self._fitting(meta, reference_type)
            if rule is None:
                problems.append(self._nothing(meta, reference_type))
            elif rule.path is not None and not rule.path.is_file():
                problems.append(
                    f"{reference_type}: {self.rules_file} names {rule.path}: no such file."
                )
            else:
                path = rule.path.absolute() if rule.path else None  # a link keeps its name
                origin = self.rules_file.name
                found[reference_type] = Reference(reference_type, path, origin=origin)
        if problems:
            raise ReferenceMissing("\n".join(problems))
        return found

    def find(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """Files of those `types` for which the rules have one."""
        fitting = {t: self._fitting(meta, t) for t in types}
        return self.select(meta, [t for t, rule in fitting.items() if rule and rule.path])

    def explain(self, meta: FlatMetadata, reference_type: str) -> Explanation:
        """The criteria of the rules for an exposure, and the files they choose from."""
        rules = self._rules.get(reference_type, ())
        names = dict.fromkeys(name for rule in rules for name in rule.asks)
        return Explanation(
            self.rules_file.name,
            {name: meta.get(name) for name in names},
            tuple(Candidate(rule.name, rule.asks) for rule in rules),
        )

    def _fitting(self, meta: FlatMetadata, reference_type: str) -> _Rule | None:
        rules = self._rules.get(reference_type, ())
        return next((rule for rule in rules if rule.fits(meta)), None)

    def _reference(self, reference_type: str, rule: _Rule) -> Reference:
        path = rule.path.absolute() if rule.path else None  # a link keeps its name
        return Reference(reference_type, path, origin=self.rules_file.name)

    def _nothing(self, meta: FlatMetadata, reference_type: str) -> str:
        if reference_type not in self._rules:
            hint = did_you_mean(reference_type, self._rules)
            return (
                f"{reference_type}: {self.rules_file} has no such type{hint}. Add it, as N/A where it "
                f"does not apply, or give --override_{reference_type}=PATH."
            )
        asked = self.explain(meta, reference_type).criteria
        found = ", ".join(f"{name}={value}" for name, value in asked.items())
        return (
            f"{reference_type}: no file in {self.rules_file} fits {found}. Add one, or give "
            f"--override_{reference_type}=PATH."
        )


@dataclass(frozen=True)
class _Rule:
    """A file and what it asks of an exposure."""

    name: str
    path: Path | None
    asks: Mapping[str, str]

    def fits(self, meta: FlatMetadata) -> bool:
        """Whether an exposure has the values of the criteria."""
        return all(_text(meta.get(name)) in text.split("|") for name, text in self.asks.items())


def _text(value: object) -> str:
    """Metadata as rules write them: numbers without a needless fraction."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rules_file(folder: Path) -> Path:
    for name in _NAMES:
        if (folder / name).is_file():
            return folder / name
    raise ReferenceMissing(
        f"references: {folder} {'has no rules' if folder.is_dir() else 'is not a folder'}; allowed: a "
        f"folder with {' or '.join(_NAMES)}."
    )


def _read(path: Path) -> dict[str, tuple[_Rule, ...]]:
    try:
        content = _parse(path)
        return {kind: tuple(_rules(path.parent, entry)) for kind, entry in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReferenceMissing(
            f"references: {path} cannot be understood: {error}. Each type has a file, or a list of "
            "files with what they ask of an exposure."
        ) from None


def _parse(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        content = json.loads(text, parse_int=whole_number)
        if not isinstance(content, dict):
            raise ValueError("it is not a mapping of types")
        return content
    from configobj import ConfigObj, ConfigObjError

    try:
        tree = ConfigObj(text.splitlines(), interpolation=False, list_values=False)
    except ConfigObjError as error:
        raise ValueError(str(error)) from None
    return {kind: _listed(entry) for kind, entry in tree.items()}


def _listed(entry: object) -> Any:
    """A section of files as the list that JSON has."""
    if not isinstance(entry, Mapping):
        return entry
    return [{**asks, "file": file} for file, asks in entry.items()]


def _rules(folder: Path, entry: Any) -> Iterator[_Rule]:
    for rule in [{"file": entry}] if isinstance(entry, str) else entry:
        name = rule["file"]
        asks = {_full(n): _alternatives(v) for n, v in rule.items() if n != "file"}
        yield _Rule(name, None if name == NOT_APPLICABLE else folder / name, asks)


def _full(name: str) -> str:
    return name if name.startswith("meta.") else f"meta.{name}"


def _alternatives(value: object) -> str:
    return "|".join(map(_text, value)) if isinstance(value, list) else _text(value)
