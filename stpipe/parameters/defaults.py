"""Defaults: parameter files that apply where the user sets nothing, of CRDS and of this package.

CRDS has parameter files for steps and pipelines (types `pars-jumpstep`, `pars-detector1pipeline`),
chosen by the exposure's metadata like reference files. They come from outside, so they may only set
parameters of science: hooks and names of files in them are refused, unknown names warn.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stpipe.errors import did_you_mean
from stpipe.parameters.readers import read_cfg
from stpipe.parameters.settings import Raw, Settings
from stpipe.parameters.specs import OVERRIDE, USERS_OWN, rules
from stpipe.system import package_data

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata
    from stpipe.parameters.declaration import Declaration
    from stpipe.references.selection import Reference, Resolver

__all__ = ["below", "central_files", "central_types", "disabled", "shipped"]

SWITCH = "STPIPE_DISABLE_CRDS_STEPPARS"
_FALSE = ("", "0", "false", "f", "no", "n", "off")
# Parameters of every step of STScI's stpipe that have no meaning here.
_FOREIGN = frozenset(
    {"input_dir", "output_ext", "output_use_index", "output_use_model", "search_output_file"}
)
_log = logging.getLogger("stpipe.parameters")


def below(step: type[Declaration], files: Mapping[str, Reference]) -> Settings:
    """The parameters of an exposure for all that the user does not set.

    `files` are the `central_files` of the exposure.

    Raises
    ------
    ParameterError
        When a file is there and cannot be read.
    """
    return _central(step, files).over(shipped(step))


def disabled() -> bool:
    """Whether the environment switches parameter files of CRDS off."""
    return os.environ.get(SWITCH, "").strip().lower() not in _FALSE


# --- files that ship with stpipe -------------------------------------------------------------------


def shipped(step: type[Declaration]) -> Settings:
    """The file `config/<alias>.cfg` of a step or pipeline over those of its substeps."""
    inner = Settings(steps={name: shipped(cls) for name, cls in step.step_defs.items()})
    return _shipped_file(step.alias).over(inner) if step.alias else inner


@cache
def _shipped_file(alias: str) -> Settings:
    path = package_data.folder("config") / f"{alias}.cfg"
    return _named(read_cfg(path).settings, path) if path.is_file() else Settings()


def _named(settings: Settings, path: Path) -> Settings:
    """The settings with origins that hold on any machine: `shipped jump.cfg:3`."""
    values = {
        n: Raw(r.value, r.where.replace(str(path), f"shipped {path.name}"), r.folder)
        for n, r in settings.values.items()
    }
    return Settings(values, {n: _named(s, path) for n, s in settings.steps.items()})


# --- files of CRDS ---------------------------------------------------------------------------------


def central_types(step: type[Declaration]) -> list[str]:
    """The CRDS types of the parameter files for a step and its substeps, its own last."""
    inner = [t for substep in step.step_defs.values() for t in central_types(substep)]
    return list(dict.fromkeys([*inner, f"pars-{step.__name__.lower()}"]))


def central_files(
    step: type[Declaration], meta: FlatMetadata, resolver: Resolver
) -> dict[str, Reference]:
    """The parameter files that apply to an exposure, by their CRDS type."""
    return {} if disabled() else resolver.find(meta, central_types(step))


def _central(step: type[Declaration], files: Mapping[str, Reference]) -> Settings:
    """A step's own file over those of its substeps."""
    inner = Settings(steps={n: _central(cls, files) for n, cls in step.step_defs.items()})
    file = files.get(f"pars-{step.__name__.lower()}")
    if file is None or file.path is None:
        return inner
    settings = read_cfg(file.path).settings
    return _allowed(step, settings, f"CRDS {file.path.name}").over(inner)


def _allowed(step: type[Declaration], settings: Settings, where: str) -> Settings:
    """The settings that a file of CRDS may have; a warning for all others."""
    for sentence in _refused(step, settings):
        _log.warning("%s: %s", where, sentence)
    known = rules(step).keys() - USERS_OWN
    values = {
        name: Raw(raw.value, where, raw.folder)
        for name, raw in settings.values.items()
        if name in known and not name.startswith(OVERRIDE) and raw.value is not None
    }
    steps = {
        name: _allowed(step.step_defs[name], inner, where)
        for name, inner in settings.steps.items()
        if name in step.step_defs
    }
    return Settings(values, steps)


def _refused(step: type[Declaration], settings: Settings) -> Iterator[str]:
    label = step.alias or step.__name__
    for name, raw in settings.values.items():
        if name in _FOREIGN:
            continue
        if name in USERS_OWN or name.startswith(OVERRIDE):
            if raw.value not in (None, "", [], False, "None"):
                yield f"{name} of {label} is refused: only a user may set it."
        elif name not in rules(step):
            hint = did_you_mean(name, rules(step))
            yield f'"{name}" is not a parameter of {label}{hint}; it is ignored.'
    for name in settings.steps.keys() - step.step_defs.keys():
        hint = did_you_mean(name, step.step_defs)
        yield f'"{name}" is not a step of {label}{hint}; it is ignored.'
