"""Make a project: Snakefile, configuration and parameter files in a folder of its own."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe import naming
from stpipe.core.loading import load as load_class
from stpipe.errors import InputError, UsageError
from stpipe.parameters.readers import from_options, read_cfg
from stpipe.parameters.resolution import items, resolve
from stpipe.parameters.settings import Settings
from stpipe.parameters.specs import rules
from stpipe.project import config as project_config
from stpipe.project import lock
from stpipe.project.plan import Plan, load, select
from stpipe.project.snakefile import of_stages, snakefile
from stpipe.references.crds import CrdsResolver
from stpipe.system import package_data
from stpipe.system.atomic import write_text
from stpipe.system.text import counted

if TYPE_CHECKING:
    from stpipe.core.step import Step

__all__ = ["Request", "generate", "init"]

_SHIPPED = (
    "envs/stpipe-flow.yaml",
    "profiles/default/config.yaml",
    "profiles/slurm/config.yaml",
)


# Parameters without a use in a project, which names every product.
_NAMING = ("save_results", "output_file", "output_dir", "suffix")


@dataclass(frozen=True)
class Request:
    """What `stflow init` is asked for."""

    folder: str
    pipelines: tuple[str, ...]
    inputs: tuple[str, ...]
    parameters: str | None = None
    references: str | None = None


def init(request: Request, options: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Make a project; yields lines that describe it.

    A failed attempt leaves nothing behind.

    Raises
    ------
    UsageError
        When there is a project already.
    StpipeError
        Whatever planning finds wrong with inputs, parameters and reference files.
    """
    folder = Path(request.folder)
    if (folder / project_config.CONFIG).exists():
        raise UsageError(f"{folder} is a project already; edit {folder / project_config.CONFIG}.")
    stages = [load_class(name) for name in request.pipelines]
    lower = read_cfg(request.parameters).settings if request.parameters else Settings()
    given = _shared_out(stages, from_options(options).over(lower))
    for cls, settings in given.items():
        resolve(cls, settings)
    exposures = [_existing(path) for path in request.inputs]
    config = _config(stages, request, exposures)
    with _undone_on_failure(folder):
        for cls, settings in given.items():
            _write_parameters(folder, cls, settings)
        plan = _write_workflow(folder, config)
        _write_lock(folder, config, plan)
        _write_config(folder, config)
    yield from _summary(folder, plan)


def generate(folder: str | Path) -> Iterator[str]:
    """Regenerate the Snakefile of an existing project."""
    yield from _summary(Path(folder), _write_workflow(Path(folder), project_config.read(folder)))


@contextlib.contextmanager
def _undone_on_failure(folder: Path) -> Iterator[None]:
    """Remove everything new if the block fails."""
    before = set(folder.rglob("*")) if folder.is_dir() else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        if before is None:
            shutil.rmtree(folder, ignore_errors=True)
        for path in sorted({*folder.rglob("*")} - (before or set()), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        raise


def _summary(folder: Path, plan: Plan) -> Iterator[str]:
    counts = counted(len(plan.exposures), "exposure"), counted(len(list(plan.entries())), "job")
    yield f"{folder / project_config.SNAKEFILE}: {', '.join(counts)}"
    yield f"{folder / project_config.CONFIG}: inputs; {folder / 'config'}/*.cfg: parameters"
    there = "" if folder == Path() else f"cd {folder} && "
    yield f"next: {there}snakemake --cores 8 cal/*.fits"


def _existing(path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"there is no file {path} (in {Path.cwd()}).")
    # Patterns in the name of a file would be expanded when the configuration is read.
    return glob.escape(path)


def _shared_out(stages: Sequence[type[Step]], given: Settings) -> dict[type[Step], Settings]:
    """Parameters of each stage that it knows; unknown ones go to the first, which refuses them."""
    found = {cls: Settings(where=given.where) for cls in stages}
    for name, raw in given.values.items():
        for cls in [c for c in stages if name in rules(c)] or stages[:1]:
            found[cls].values[name] = raw
    for name, step in given.steps.items():
        for cls in [c for c in stages if name in c.step_defs] or stages[:1]:
            found[cls].steps[name] = step
    return found


# --- files -----------------------------------------------------------------------------------------


def _config(
    stages: Sequence[type[Step]], request: Request, exposures: Sequence[str]
) -> dict[str, Any]:
    folder = Path(request.folder)
    named = zip(request.pipelines, stages, strict=True)
    names = [cls.target() if ":" in name else name for name, cls in named]
    content: dict[str, Any] = {
        "pipeline": names if names[1:] else names[0],
        "inputs": [_relative(path, folder) for path in exposures],
        "parameters": [f"config/{_cfg_name(cls)}" for cls in stages],
    }
    if request.references:
        content["references"] = _relative(request.references, folder)
    else:
        content["crds"] = next((found for cls in stages if (found := _crds(cls))), {})
    if homes := dict.fromkeys(home for cls in stages if (home := _import_folder(cls))):
        content["python_path"] = [_relative(home, folder) for home in homes]
    return content


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Written last: a folder with a configuration is a project."""
    import yaml

    heading = "# What this project calibrates. Paths are relative to the project's folder.\n"
    text = heading + yaml.safe_dump(dict(config), sort_keys=False)
    write_text(folder / project_config.CONFIG, text)


def _write_lock(folder: Path, config: Mapping[str, Any], plan: Plan) -> None:
    """Hold the project to the references that were just selected."""
    with project_config.inside(folder):
        traced = plan.selected.keys() == {exposure["root"] for exposure in plan.exposures}
        chosen = plan.selected if traced else select(config)
        list(lock.update(project_config.Project.from_config(config), chosen))


def _relative(path: str | Path, folder: Path) -> str:
    return os.path.relpath(naming.located(path), folder.resolve())


def _cfg_name(cls: type[Step]) -> str:
    return f"{cls.alias or cls.__name__}.cfg"


def _crds(cls: type[Step]) -> dict[str, str]:
    """Fix the current context, so that a project gives the same products next year."""
    if not cls.all_reference_types() or "CRDS_PATH" not in os.environ:
        return {}
    cache = str(Path(os.environ["CRDS_PATH"]).resolve())
    return {"path": cache, "context": CrdsResolver().context}


def _import_folder(cls: type[Step]) -> Path | None:
    """The folder that a user's own module is imported from; None for installed packages."""
    file = Path(getattr(sys.modules[cls.__module__], "__file__", None) or ".").resolve()
    depth = cls.__module__.count(".") + (file.name == "__init__.py")
    home = file.parents[depth]
    installed = {Path(sysconfig.get_path(n)).resolve() for n in ("purelib", "platlib", "stdlib")}
    own = package_data.PACKAGE.parent
    return None if home in installed | {own} else home


def _write_parameters(folder: Path, cls: type[Step], given: Settings) -> None:
    text = [
        f"# Parameters of {cls.alias or cls.__name__}. Remove a leading # and change the value;",
        "# the next run rebuilds what depends on it.",
        f"class = {cls.target()}",
        *_commented(cls, given, 0),
    ]
    path = folder / "config" / _cfg_name(cls)
    path.parent.mkdir(exist_ok=True)
    write_text(path, "\n".join(text) + "\n")


def _commented(cls: type[Step], given: Settings, depth: int) -> Iterator[str]:
    """Every parameter with default and help as a comment; those given as plain lines."""
    from configobj import ConfigObj

    for name, rule in rules(cls).items():
        if name in _NAMING and name not in given.values:
            continue
        value = items(rule, given.values[name]) if name in given.values else rule.default
        line = ConfigObj({name: "" if value is None else value}, interpolation=False).write()[0]
        mark = "" if name in given.values else "# "
        yield f"{'    ' * depth}{mark}{line}  # {rule.help} [{rule.allowed}]"
    if cls.step_defs:
        yield f"\n{'    ' * depth}{'[' * (2 * depth + 1)}steps{']' * (2 * depth + 1)}"
        for name, step in cls.step_defs.items():
            bars = 2 * depth + 2
            yield f"\n{'    ' * depth}{'[' * bars}{name}{']' * bars}"
            yield from _commented(step, given.steps.get(name, Settings()), depth + 1)


def _write_workflow(folder: Path, config: Mapping[str, Any]) -> Plan:
    shipped = package_data.folder("workflow")
    for name in _SHIPPED:
        target = folder / "workflow" / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped / name, target)
    with project_config.inside(folder):
        plan = load(config)
        checked = project_config.Project.from_config(config)
        text = snakefile(", ".join(checked.stages), of_stages(checked.pipelines()))
        write_text(project_config.SNAKEFILE, text)
    return plan
