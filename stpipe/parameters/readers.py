"""Sources of parameters: files (ConfigObj or ASDF), keywords of a Python call, a command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configobj import ConfigObj, ConfigObjError

from stpipe.errors import ParameterError
from stpipe.parameters.settings import Configuration, Raw, Settings

__all__ = ["COMMAND_LINE", "EXTENSIONS", "from_keywords", "from_options", "read_cfg"]

COMMAND_LINE = "command line"  # where values from there come from
EXTENSIONS = (".cfg", ".asdf")  # of parameter files

_RESERVED = ("name", "class", "config_file")
_DEEPEST = 20  # files that include one another


def read_cfg(path: str | Path, depth: int = 0) -> Configuration:
    """Read a parameter file: ConfigObj text, or ASDF when its name ends in `.asdf`.

    Raises
    ------
    ParameterError
        When it is missing or its syntax is wrong; every faulty line is named.
    """
    path = Path(path)
    if depth > _DEEPEST:
        raise ParameterError(f"{path}: config_file leads back to the file that contains it.")
    try:
        content = path.read_bytes()
        if path.suffix == ".asdf":
            return _read_asdf(path, content)
        return _read_configobj(path, content.decode("utf-8"), depth)
    except OSError as error:
        raise ParameterError(f"parameter file {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ParameterError(f"parameter file {path}: not a text file (UTF-8).") from None


# --- ConfigObj -------------------------------------------------------------------------------------


def _read_configobj(path: Path, text: str, depth: int) -> Configuration:
    try:
        content = ConfigObj(text.splitlines(), interpolation=False)
    except ConfigObjError as error:
        faults = getattr(error, "errors", None) or [error]
        raise ParameterError(
            [f"{path}:{f.line_number}: not valid: {f.line.strip()}" for f in faults]
        ) from None
    reader = _CfgReader(path, _line_numbers(text), depth)
    logging = content.pop("logging", {})
    if not isinstance(logging, Mapping):
        raise ParameterError(f"{reader.where('logging')}: logging is a section: [logging].")
    job = content.pop("job", None)
    settings = reader.settings(content, ())
    return Configuration(
        content.get("class"),
        settings,
        # ConfigObj takes values apart at commas.
        {n: ", ".join(v) if isinstance(v, list) else str(v) for n, v in logging.items()},
        content.get("name"),
        job,
    )


@dataclass(frozen=True)
class _CfgReader:
    path: Path
    lines: Mapping[tuple[str, ...], int]
    depth: int

    def where(self, *place: str) -> str:
        """`file:line` of a key or a heading."""
        return f"{self.path}:{self.lines.get(place, '?')}"

    def settings(self, section: Mapping[str, Any], place: tuple[str, ...]) -> Settings:
        own = Settings(where=self.where(*place) if place else "")
        for name, value in section.items():
            if name == "steps" and isinstance(value, Mapping):
                own.steps = {n: self._substep(n, s, (*place, "steps")) for n, s in value.items()}
            elif name not in _RESERVED:
                own.values[name] = Raw(value, self.where(*place, name), self.path.parent)
        return self._with_file(own, section)

    def _substep(self, name: str, section: object, place: tuple[str, ...]) -> Settings:
        if not isinstance(section, Mapping):
            raise ParameterError(
                f"{self.where(*place, name)}: [steps] holds sections such as [[{name}]], not values."
            )
        return self.settings(section, (*place, name))

    def _with_file(self, own: Settings, section: Mapping[str, Any]) -> Settings:
        """Lay the section over the file that it names."""
        if "config_file" not in section:
            return own
        return own.over(
            read_cfg(self.path.parent / section["config_file"], self.depth + 1).settings
        )


def _line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """Where each key of a parameter file stands, by its sections and name."""
    found: dict[tuple[str, ...], int] = {}
    place: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[+)\s*(.+?)\s*\]+", line):
            del place[len(header[1]) - 1 :]
            place.append(header[2].strip("'\""))
            found[tuple(place)] = number
        elif key := re.match(r"\s*([^#=\s][^=]*?)\s*=", line):
            found[(*place, key[1].strip("'\""))] = number
    return found


# --- ASDF ------------------------------------------------------------------------------------------


def _read_asdf(path: Path, content: bytes) -> Configuration:
    """Read a tree of `class`, `name`, `parameters` and `steps` (a list, or sections by name)."""
    import yaml

    from stpipe.models.formats import asdf_yaml

    try:
        tree: Mapping[str, Any] = asdf_yaml.load(content.partition(b"\n...")[0])
    except (yaml.YAMLError, ValueError) as error:
        raise ParameterError(f"{path}: not a valid ASDF file: {error}") from None
    parameters = tree.get("parameters")
    if not isinstance(parameters, Mapping):
        raise ParameterError(f"{path} is not a parameter file: it has no `parameters`.")
    # The oldest files hold everything under `parameters`.
    own = tree if "class" in tree else {**parameters, "parameters": _plain(parameters)}
    return Configuration(own.get("class"), _from_tree(own, str(path), path), {}, own.get("name"))


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in parameters.items() if n not in (*_RESERVED, "steps")}


def _from_tree(tree: Mapping[str, Any], where: str, path: Path) -> Settings:
    values = tree.get("parameters", _plain(tree))
    steps = tree.get("steps") or {}
    if not isinstance(steps, Mapping):
        steps = {step.get("name", "?"): step for step in steps}
    return Settings(
        {name: Raw(value, where, path.parent) for name, value in values.items()},
        {name: _from_tree(step, where, path) for name, step in steps.items()},
        where,
    )


# --- Python and command line -----------------------------------------------------------------------


def from_keywords(keywords: Mapping[str, Any]) -> Settings:
    """Keywords of a Python call; `steps={"jump": {...}}` reaches substeps."""
    own = Settings(where="keyword")
    for name, value in keywords.items():
        if name == "steps" and isinstance(value, Mapping):
            own.steps = {n: _substep_keywords(n, v) for n, v in value.items()}
        else:
            own.values[name] = Raw(value, "keyword")
    return _with_file(own)


def _substep_keywords(name: str, keywords: object) -> Settings:
    if not isinstance(keywords, Mapping):
        raise ParameterError(
            f'keyword: steps: found {keywords!r} for "{name}", allowed: a dictionary of parameters, '
            'such as steps={"jump": {"rejection_threshold": 5}}.'
        )
    return from_keywords(keywords)


def from_options(options: Iterable[tuple[str, str]]) -> Settings:
    """`--name=value` pairs of a command line; `steps.jump.name` reaches a substep."""
    own = Settings(where=COMMAND_LINE)
    for dotted, value in options:
        *parents, name = dotted.split(".")
        node = own
        # `steps.jump.x`; nested pipelines repeat it: `steps.sloper.steps.jump.x`
        for step in [p for p in parents if p != "steps"]:
            node = node.substep(step)
        if name in ("pre_hooks", "post_hooks"):
            # Commands hold commas: one option is one hook, and several options run in their order.
            earlier = node.values[name].value if name in node.values else []
            node.values[name] = Raw([*earlier, value], COMMAND_LINE)
        else:
            node.values[name] = Raw(value, COMMAND_LINE)
    return _with_file(own)


def _with_file(own: Settings) -> Settings:
    """Lay settings over the files that they name as `config_file`."""
    own.steps = {name: _with_file(step) for name, step in own.steps.items()}
    if "config_file" not in own.values:
        return own
    return own.over(read_cfg(own.values.pop("config_file").value).settings)
