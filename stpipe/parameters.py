"""Parameters: what a step may be told, what it was told, and by whom.

A step's `spec` is configspec text (`threshold = float(min=0, default=4.0)  # help`). Every source of
values (parameter file, command line, keywords) becomes a `Settings` tree; the trees are laid over each
other and checked against the specs in one go, so that all mistakes are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configobj import ConfigObj, ConfigObjError
from configobj.validate import ValidateError, Validator

from stpipe.errors import ParameterError, did_you_mean

if TYPE_CHECKING:
    from stpipe.step import Step

__all__ = [
    "UNIVERSAL_SPEC",
    "Configuration",
    "Parameters",
    "Raw",
    "Rule",
    "Settings",
    "export",
    "from_keywords",
    "from_options",
    "read_cfg",
    "resolve",
    "rules",
]

# What every step understands, whatever it computes.
UNIVERSAL_SPEC = """
    skip = boolean(default=False)           # Leave this step out of the pipeline
    pre_hooks = force_list(default=list())  # Run before: "python:mod.f", "shell:cmd {input} {output}"
    post_hooks = force_list(default=list()) # Run after, on the product
    save_results = boolean(default=False)   # Write the product, also in the middle of a pipeline
    output_file = string(default=None)      # Exact name of the product
    output_dir = string(default=None)       # Folder of the products
    suffix = string(default=None)           # Replaces the suffix of the product
"""

_OVERRIDE = "override_"
_RESERVED = ("name", "class", "config_file")
_LISTS = re.compile(r"\w*list\b")
# ConfigObj leaves the comment of a spec line in the value; a # within quotes is none.
_SPEC_LINE = re.compile(r"""(?P<check>(?:[^#"']|"[^"]*"|'[^']*')*)(?:\#(?P<help>.*))?$""")


@dataclass(frozen=True)
class Raw:
    """A value as somebody gave it, and where: `sloper.cfg:4`, `command line`, `keyword`."""

    value: Any
    where: str


@dataclass
class Settings:
    """What one source says about a step and its substeps."""

    values: dict[str, Raw] = field(default_factory=dict)
    steps: dict[str, Settings] = field(default_factory=dict)

    def over(self, lower: Settings) -> Settings:
        """Both together; where both speak, this one is heard."""
        names = {**lower.steps, **self.steps}
        empty = Settings()
        return Settings(
            {**lower.values, **self.values},
            {n: self.steps.get(n, empty).over(lower.steps.get(n, empty)) for n in names},
        )

    def substep(self, name: str) -> Settings:
        """The settings of a substep, made when there are none yet."""
        return self.steps.setdefault(name, Settings())


@dataclass
class Configuration:
    """A parameter file: which class it is for, its settings, `[logging]` and, of a job, `[job]`."""

    target: str | None
    settings: Settings
    logging: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    job: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Rule:
    """One line of a spec: what is allowed, the default and the help."""

    check: str
    help: str

    def parse(self, value: Any) -> Any:
        """The value in its type; ValidateError when it is not allowed."""
        if value is None and self.default is None:
            return None
        if isinstance(value, str) and _LISTS.match(self.check) and "," in value:
            value = [part.strip() for part in value.split(",") if part.strip()]
        return Validator().check(self.check, value)

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        try:
            Validator().get_default_value(self.check)
        except KeyError:
            return True
        return False

    @property
    def default(self) -> Any:
        """The default value; None when there is none."""
        return None if self.required else Validator().get_default_value(self.check)

    @property
    def allowed(self) -> str:
        """The check without its default: `float(min=0)`."""
        text = re.sub(
            r",?\s*default\s*=\s*(list\([^)]*\)|\"[^\"]*\"|'[^']*'|[^,)]*)", "", self.check
        )
        return text.replace("(, ", "(").replace("()", "")


@dataclass(frozen=True)
class Parameters:
    """Resolved parameters of a step: values, the source of each, and the same for its substeps."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    steps: Mapping[str, Parameters] = field(default_factory=dict)


def rules(step: type[Step]) -> dict[str, Rule]:
    """Every parameter that `step` understands; a derived class refines its base."""
    found = _parse_spec(UNIVERSAL_SPEC)
    for cls in reversed(step.__mro__):
        found |= _parse_spec(vars(cls).get("spec", ""))
    overrides = {
        f"{_OVERRIDE}{t}": Rule("string(default=None)", f"Reference file to use as {t}, or N/A")
        for t in sorted(step.all_reference_types())
    }
    return found | overrides


def _parse_spec(text: str) -> dict[str, Rule]:
    spec = ConfigObj(text.splitlines(), list_values=False, interpolation=False, _inspec=True)
    parts = {name: _SPEC_LINE.match(line) for name, line in spec.items()}
    return {n: Rule(p["check"].strip(), (p["help"] or "").strip()) for n, p in parts.items() if p}


# --- sources ---------------------------------------------------------------------------------------


def read_cfg(path: str | Path) -> Configuration:
    """Read a ConfigObj parameter file.

    Raises
    ------
    ParameterError
        When it is missing or its syntax is wrong; every faulty line is named.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = ConfigObj(text.splitlines(), interpolation=False)
    except OSError as error:
        raise ParameterError(f"parameter file {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ParameterError(f"parameter file {path}: not a text file (UTF-8).") from None
    except ConfigObjError as error:
        faults = getattr(error, "errors", None) or [error]
        raise ParameterError(
            [f"{path}:{f.line_number}: not valid: {f.line.strip()}" for f in faults]
        ) from None
    reader = _CfgReader(path, _line_numbers(text))
    logging = {k: str(v) for k, v in content.pop("logging", {}).items()}
    job = content.pop("job", None)
    settings = reader.settings(content, ())
    return Configuration(content.get("class"), settings, logging, content.get("name"), job)


@dataclass(frozen=True)
class _CfgReader:
    path: Path
    lines: Mapping[tuple[str, ...], int]

    def settings(self, section: Mapping[str, Any], place: tuple[str, ...]) -> Settings:
        own = Settings()
        for name, value in section.items():
            if name == "steps" and isinstance(value, Mapping):
                own.steps = {n: self._substep(n, s, (*place, "steps")) for n, s in value.items()}
            elif name not in _RESERVED:
                own.values[name] = Raw(value, f"{self.path}:{self.lines.get((*place, name), '?')}")
        return own

    def _substep(self, name: str, section: Any, place: tuple[str, ...]) -> Settings:
        if not isinstance(section, Mapping):
            where = f"{self.path}:{self.lines.get((*place, name), '?')}"
            raise ParameterError(f"{where}: [steps] holds sections such as [[{name}]], not values.")
        own = self.settings(section, (*place, name))
        if "config_file" in section:
            own = own.over(read_cfg(self.path.parent / section["config_file"]).settings)
        return own


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


def from_keywords(keywords: Mapping[str, Any]) -> Settings:
    """Keywords of a Python call; `steps={"jump": {...}}` reaches substeps."""
    own = Settings()
    for name, value in keywords.items():
        if name == "steps" and isinstance(value, Mapping):
            own.steps = {n: from_keywords(v) for n, v in value.items()}
        else:
            own.values[name] = Raw(value, "keyword")
    return own


def from_options(options: Iterable[tuple[str, str]]) -> Settings:
    """`--name=value` pairs of a command line; `steps.jump.name` reaches a substep."""
    own = Settings()
    for dotted, value in options:
        *parents, name = dotted.split(".")
        node = own
        # `steps.jump.x`; nested pipelines repeat it: `steps.sloper.steps.jump.x`
        for step in [p for p in parents if p != "steps"]:
            node = node.substep(step)
        if name in ("pre_hooks", "post_hooks"):
            # Commands hold commas: one option is one hook, and several options run in their order.
            earlier = node.values[name].value if name in node.values else []
            node.values[name] = Raw([*earlier, value], "command line")
        else:
            node.values[name] = Raw(value, "command line")
    return own


# --- resolution ------------------------------------------------------------------------------------


def resolve(step: type[Step], settings: Settings) -> Parameters:
    """Check `settings` against the specs of `step` and its substeps and fill in defaults.

    Raises
    ------
    ParameterError
        With every unknown name, wrong type, value out of bounds and missing parameter.
    """
    problems: list[str] = []
    resolved = _resolve(step, settings, "", problems)
    if problems:
        raise ParameterError(problems)
    return resolved


def _resolve(step: type[Step], settings: Settings, prefix: str, problems: list[str]) -> Parameters:
    known = rules(step)
    for name in settings.values.keys() - known.keys():
        raw = settings.values[name]
        label = step.alias or step.__name__
        problems.append(
            f'{raw.where}: unknown parameter "{prefix}{name}" of {label}{did_you_mean(name, known)}'
        )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, rule in known.items():
        given = settings.values.get(name)
        if given is None and rule.required:
            problems.append(f"{prefix}{name}: required, allowed: {rule.allowed}; nobody gives it.")
        values[name] = _parse(prefix + name, rule, given, problems) if given else rule.default
        sources[name] = given.where if given else "default"
    return Parameters(values, sources, _resolve_substeps(step, settings, prefix, problems))


def _parse(name: str, rule: Rule, raw: Raw, problems: list[str]) -> Any:
    try:
        return rule.parse(raw.value)
    except ValidateError:
        problems.append(f"{raw.where}: {name}: found {raw.value!r}, allowed: {rule.allowed}")
    return None


def _resolve_substeps(
    step: type[Step], settings: Settings, prefix: str, problems: list[str]
) -> dict[str, Parameters]:
    known = step.step_defs
    for name in settings.steps.keys() - known.keys():
        wheres = {raw.where for raw in settings.steps[name].values.values()} or {"[steps]"}
        label = step.alias or step.__name__
        problems.append(
            f'{min(wheres)}: {label} has no step "{prefix}{name}"{did_you_mean(name, known)}'
        )
    empty = Settings()
    return {
        name: _resolve(
            cls,
            settings.steps.get(name, empty).over(_inherited(cls, settings)),
            f"{prefix}{name}.",
            problems,
        )
        for name, cls in known.items()
    }


def _inherited(substep: type[Step], settings: Settings) -> Settings:
    """Overrides of reference files given to a pipeline hold for its steps."""
    types = substep.all_reference_types()
    return Settings(
        {
            name: raw
            for name, raw in settings.values.items()
            if name.startswith(_OVERRIDE) and name.removeprefix(_OVERRIDE) in types
        }
    )


# --- export ----------------------------------------------------------------------------------------


def export(target: str, parameters: Parameters, *, only_given: bool = False) -> str:
    """Text of a parameter file that repeats `parameters` of the class `target`.

    With `only_given`, what nobody asked for (the defaults) is left out.
    """
    content = ConfigObj(interpolation=False, list_values=True)
    content["class"] = target
    _fill(content, parameters, only_given)
    return "\n".join(content.write()) + "\n"


def _fill(section: Any, parameters: Parameters, only_given: bool) -> None:
    for name, value in parameters.values.items():
        # None is always the default, and the file format cannot say it.
        if value is not None and not (only_given and parameters.sources[name] == "default"):
            section[name] = value
    if parameters.steps:
        section["steps"] = {}
        for name, substep in parameters.steps.items():
            section["steps"][name] = {}
            _fill(section["steps"][name], substep, only_given)
            if only_given and not section["steps"][name]:
                del section["steps"][name]
