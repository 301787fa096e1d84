"""Resolution: the parameters of a step and its substeps, checked, with defaults and sources.

A step's `spec` is configspec text (`threshold = float(min=0, default=4.0)  # help`). Every source of
values (parameter file, command line, keywords) is a `Settings` tree; the trees are laid over each other
and then checked against the specs in one go, so that all mistakes are reported together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from configobj.validate import ValidateError

from stpipe.errors import ParameterError, did_you_mean
from stpipe.parameters.readers import COMMAND_LINE
from stpipe.parameters.settings import Parameters, Raw, Settings
from stpipe.parameters.specs import OVERRIDE, ExplainedError, Rule, rules

if TYPE_CHECKING:
    from stpipe.parameters.declaration import Declaration

__all__ = ["items", "resolve"]


# --- resolution ------------------------------------------------------------------------------------


def resolve(step: type[Declaration], settings: Settings) -> Parameters:
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


def _resolve(
    step: type[Declaration], settings: Settings, prefix: str, problems: list[str]
) -> Parameters:
    known = rules(step)
    problems += _unknown(step, settings, prefix)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, rule in known.items():
        given = settings.values.get(name)
        if given is None and rule.required:
            problems.append(f"{prefix}{name}: required, but not set; allowed: {rule.allowed}.")
        values[name] = _parse(prefix + name, rule, given, problems) if given else rule.default
        sources[name] = given.where if given else "default"
    return Parameters(values, sources, _resolve_substeps(step, settings, prefix, problems))


def _unknown(step: type[Declaration], settings: Settings, prefix: str) -> Iterator[str]:
    """A sentence for each name that is neither a parameter nor a step."""
    known, label = rules(step), step.alias or step.__name__
    for name, raw in settings.values.items():
        if name not in known and name in step.step_defs:
            yield (
                f'{raw.where}: "{prefix}{name}" is a step of {label}: set its parameters under '
                f"[steps] as [[{name}]], on the command line as --steps.{name}.PARAMETER=VALUE"
            )
        elif name not in known:
            yield f'{raw.where}: unknown parameter "{prefix}{name}" of {label}' + (
                did_you_mean(name, known) or _elsewhere(step, name)
            )
    for name, section in settings.steps.items():
        if name not in step.step_defs:
            hint = did_you_mean(name, step.step_defs)
            yield f'{section.place() or "[steps]"}: {label} has no step "{prefix}{name}"{hint}'


def _elsewhere(step: type[Declaration], name: str) -> str:
    """A hint to the substep that knows the parameter."""
    owners = [n for n, cls in step.step_defs.items() if name in rules(cls)]
    return f" (did you mean --steps.{owners[0]}.{name}?)" if owners else ""


def items(rule: Rule, raw: Raw) -> Any:
    """A value as it was given; the text of a list on the command line is taken apart at commas."""
    if raw.where == COMMAND_LINE and rule.is_list and isinstance(raw.value, str):
        return [part.strip() for part in raw.value.split(",") if part.strip()]
    return raw.value


def _parse(name: str, rule: Rule, raw: Raw, problems: list[str]) -> Any:
    try:
        return rule.parse(items(rule, raw), raw.folder)
    except ExplainedError as error:
        problems.append(f"{raw.where}: {name}: {error}")
    except (ValidateError, ValueError, TypeError):
        problems.append(f"{raw.where}: {name}: found {raw.value!r}, allowed: {rule.allowed}")
    return None


def _resolve_substeps(
    step: type[Declaration], settings: Settings, prefix: str, problems: list[str]
) -> dict[str, Parameters]:
    empty = Settings()
    return {
        name: _resolve(
            cls,
            settings.steps.get(name, empty).over(_inherited(cls, settings)),
            f"{prefix}{name}.",
            problems,
        )
        for name, cls in step.step_defs.items()
    }


def _inherited(substep: type[Declaration], settings: Settings) -> Settings:
    """Overrides of reference files given to a pipeline hold for its steps."""
    types = substep.all_reference_types()
    return Settings(
        {
            name: raw
            for name, raw in settings.values.items()
            if name.startswith(OVERRIDE) and name.removeprefix(OVERRIDE) in types
        }
    )
