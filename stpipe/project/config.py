"""Configuration: the content of a project's `config/config.yaml`, checked and ready for tracing."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.core.loading import load
from stpipe.errors import InputError, ParameterError, UsageError, did_you_mean
from stpipe.parameters.readers import read_cfg
from stpipe.parameters.settings import Settings
from stpipe.references.crds import CrdsResolver
from stpipe.references.directory import DirectoryResolver
from stpipe.system import package_data, safe_yaml

if TYPE_CHECKING:
    from stpipe.core.step import Step
    from stpipe.references.selection import Resolver

__all__ = ["CONFIG", "Project", "all_steps", "inside", "read"]

CONFIG = Path("config/config.yaml")
SNAKEFILE = Path("workflow/Snakefile")
# -P: modules are not looked for in the project's folder, which holds data.
SNAKEMAKE = (sys.executable, "-P", "-m", "snakemake")
FACADE = "stpipe.project.snakemake"  # the one module that Snakefiles import


@dataclass(frozen=True)
class Project:
    """A checked configuration; paths are relative to the project's folder, the working directory."""

    stages: tuple[str, ...]  # pipelines, each on what the one before makes
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    crds_path: str | None
    crds_context: str | None
    python_path: tuple[str, ...]
    references: str | None = None  # a directory instead of CRDS
    keep: str | tuple[str, ...] = "all"  # all, products, or names of steps whose products stay too
    granularity: str = "auto"  # step, fused or auto

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Project:
        """Check `config` against config.schema.json.

        Raises
        ------
        ParameterError
            Naming every entry that is unknown or of the wrong type.
        """
        _validate(config)
        keep = config.get("keep", "all")
        if keep == "all" and config.get("granularity") == "fused":
            raise ParameterError(
                f"{CONFIG}: granularity: fused writes no intermediate products, but keep is all. "
                "Say keep: products, or list the steps whose products stay."
            )
        crds = config.get("crds") or {}
        return cls(
            _listed(config["pipeline"]),
            _listed(config.get("inputs")),
            _listed(config.get("parameters")),
            crds.get("path"),
            crds.get("context"),
            _listed(config.get("python_path")),
            config.get("references"),
            keep if isinstance(keep, str) else tuple(keep),
            config.get("granularity", "auto"),
        )

    def keeps(self, rule: str) -> bool:
        """Whether the products of a rule stay, although they are not results of the pipeline."""
        return self.keep == "all" or (self.keep != "products" and rule in self.keep)

    def fuses(self, step: str) -> bool:
        """Whether the product of a step may be held in memory only."""
        return self.granularity != "step" and not self.keeps(step.replace(".", "_"))

    @property
    def absolute_python_path(self) -> tuple[str, ...]:
        """Folders that are searched for the project's own modules, for jobs too."""
        return tuple(str(Path(folder).resolve()) for folder in self.python_path)

    def pipelines(self) -> list[type[Step]]:
        """The pipelines of all stages; the project's `python_path` is searched for them."""
        for folder in self.absolute_python_path:
            if folder not in sys.path:
                sys.path.append(folder)
        found = [load(name) for name in self.stages]
        self._check_keep(found)
        return found

    def _check_keep(self, pipelines: Sequence[type[Step]]) -> None:
        known = [name.replace(".", "_") for p in pipelines for name, _ in all_steps(p)]
        listed = () if isinstance(self.keep, str) else self.keep
        if unknown := [name for name in listed if name not in known]:
            hints = ", ".join(f"{name}{did_you_mean(name, known)}" for name in unknown)
            raise ParameterError(f"{CONFIG}: keep: {', '.join(self.stages)} has no step {hints}.")

    def settings(self, pipeline: type[Step]) -> Settings:
        """Parameters of a pipeline from all files that are for it; the last file takes precedence."""
        settings = Settings()
        for path in self.parameters:
            file = read_cfg(path)
            if len(self.stages) == 1 or file.target is None or load(file.target) is pipeline:
                settings = file.settings.over(settings)
        return settings

    def resolver(self) -> Resolver:
        """What selects reference files: the rules of a directory, or CRDS."""
        if self.references:
            return DirectoryResolver(self.references)
        return CrdsResolver(self.crds_context)

    def use_crds(self) -> None:
        """Let the CRDS client find the project's cache, unless the environment names one."""
        if self.crds_path and "CRDS_PATH" not in os.environ:
            os.environ["CRDS_PATH"] = str(Path(self.crds_path).resolve())

    def exposures(self) -> list[str]:
        """Input files in order, associations last, patterns expanded.

        Raises
        ------
        InputError
            When a file is missing or a pattern matches nothing.
        """
        found: dict[str, None] = {}
        for entry in self.inputs:
            matches = sorted(glob.glob(entry)) if glob.has_magic(entry) else [entry]  # noqa: PTH207 - patterns may be absolute
            if not matches or not all(Path(m).is_file() for m in matches):
                raise InputError(f"{CONFIG}: inputs: there is no file {entry} (in {Path.cwd()}).")
            found.update(dict.fromkeys(matches))
        return sorted(found, key=_stage)


def _stage(path: str) -> int:
    """Associations come after exposures, and those of stage 3 after those of stage 2."""
    from stpipe.models.associations import load_association

    if not path.endswith(".json"):
        return 0
    return 1 if load_association(path).is_of_stage_2 else 2


@contextlib.contextmanager
def inside(folder: str | Path) -> Iterator[None]:
    """Work in a project's folder; a relative CRDS_PATH still means the same folder."""
    if cache := os.environ.get("CRDS_PATH"):
        os.environ["CRDS_PATH"] = str(Path(cache).resolve())
    with contextlib.chdir(folder):
        yield


def read(folder: str | Path) -> dict[str, Any]:
    """The configuration of the project in `folder`."""
    import yaml

    path = Path(folder) / CONFIG
    if not path.is_file():
        raise UsageError(
            f"{folder} is not a project: there is no {path}. Make one with stflow init."
        )
    try:
        content = safe_yaml.load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ParameterError(f"{path}: not valid YAML: it is no text in UTF-8.") from None
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not valid YAML: {error}") from None
    if content is not None and not isinstance(content, dict):
        found = "a list" if isinstance(content, list) else f"{content!r:.60}"
        raise ParameterError(
            f"{path}: found {found}, allowed: names with values, such as `inputs: [x_uncal.fits]`. "
            "stflow init writes such a file."
        )
    return content or {}


def require_current(folder: str | Path) -> None:
    """Refuse a project whose Snakefile imports other names than today's Snakefiles do.

    Raises
    ------
    UsageError
        Saying how to regenerate it.
    """
    path = Path(folder) / SNAKEFILE
    head = (package_data.folder("workflow") / "templates/head.smk").read_text(encoding="utf-8")
    imports = head[head.index(f"from {FACADE} import (") :].partition(")")[0]
    if path.is_file() and imports not in path.read_text(encoding="utf-8"):
        raise UsageError(
            f"{path} was written by an earlier version of stpipe-flow. Regenerate it: stflow generate "
            f"--directory={folder}"
        )


def all_steps(pipeline: type[Step], prefix: str = "") -> Iterator[tuple[str, type[Step]]]:
    """Every step of a pipeline by qualified name, nested ones included, in declared order."""
    for name, step in pipeline.step_defs.items():
        if step.step_defs:
            yield from all_steps(step, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", step


def _validate(config: Mapping[str, Any]) -> None:
    import json

    import jsonschema

    schema = json.loads((package_data.folder("config") / "config.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    problems = sorted(validator.iter_errors(dict(config)), key=lambda e: list(e.path))
    if problems:
        raise ParameterError(
            [
                f"{CONFIG}: {'.'.join(map(str, e.path)) or 'top level'}: {e.message}"
                for e in problems
            ]
        )


def _listed(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
