"""Which steps and pipelines there are, by alias, without importing them.

The tables are the one list of built-in names: the command line, the suffixes that a file name may
carry and the documentation derive from them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from stpipe.core.step import Step

__all__ = [
    "OWN",
    "PIPELINES",
    "STEPS",
    "Entry",
    "entries",
    "exported",
    "import_class",
    "load",
    "public_name",
    "summary",
]

OWN = "stpipe-flow"  # the package of the built-in steps

STEPS: dict[str, str] = {
    "group_scale": "stpipe.steps.stage1.group_scale:GroupScaleStep",
    "dq_init": "stpipe.steps.stage1.dq_init:DQInitStep",
    "emicorr": "stpipe.steps.stage1.emicorr:EmiCorrStep",
    "saturation": "stpipe.steps.stage1.saturation.step:SaturationStep",
    "ipc": "stpipe.steps.stage1.ipc.step:IPCStep",
    "superbias": "stpipe.steps.stage1.superbias:SuperBiasStep",
    "refpix": "stpipe.steps.stage1.refpix.step:RefPixStep",
    "firstframe": "stpipe.steps.stage1.firstframe:FirstFrameStep",
    "lastframe": "stpipe.steps.stage1.lastframe:LastFrameStep",
    "reset": "stpipe.steps.stage1.reset:ResetStep",
    "linearity": "stpipe.steps.stage1.linearity:LinearityStep",
    "rscd": "stpipe.steps.stage1.rscd:RscdStep",
    "dark_current": "stpipe.steps.stage1.dark_current:DarkCurrentStep",
    "charge_migration": "stpipe.steps.stage1.charge_migration:ChargeMigrationStep",
    "jump": "stpipe.steps.stage1.jump.step:JumpStep",
    "picture_frame": "stpipe.steps.stage1.picture_frame:PictureFrameStep",
    "clean_flicker_noise": "stpipe.steps.stage1.clean_flicker_noise.step:CleanFlickerNoiseStep",
    "persistence": "stpipe.steps.stage1.persistence:PersistenceStep",
    "ramp_fit": "stpipe.steps.stage1.ramp_fit:RampFitStep",
    "gain_scale": "stpipe.steps.stage1.gain_scale:GainScaleStep",
    "guider_cds": "stpipe.steps.stage1.guider_cds:GuiderCdsStep",
    "assign_wcs": "stpipe.steps.stage2.assign_wcs:AssignWcsStep",
    "bkg_subtract": "stpipe.steps.stage2.bkg_subtract:BackgroundStep",
    "flat_field": "stpipe.steps.stage2.flat_field:FlatFieldStep",
    "photom": "stpipe.steps.stage2.photom:PhotomStep",
    "srctype": "stpipe.steps.stage2.srctype:SourceTypeStep",
    "extract_2d": "stpipe.steps.stage2.extract_2d.step:Extract2dStep",
    "extract_1d": "stpipe.steps.stage2.extract_1d.step:Extract1dStep",
    "tweakreg": "stpipe.steps.stage3.tweakreg.step:TweakRegStep",
    "skymatch": "stpipe.steps.stage3.skymatch:SkyMatchStep",
    "outlier_detection": "stpipe.steps.stage3.outlier_detection:OutlierDetectionStep",
    "resample": "stpipe.steps.stage2.resample:ResampleStep",
    "resample_spec": "stpipe.steps.stage2.resample_spec:ResampleSpecStep",
    "source_catalog": "stpipe.steps.stage3.source_catalog.step:SourceCatalogStep",
}

PIPELINES: dict[str, str] = {
    "calwebb_detector1": "stpipe.pipelines.detector1:Detector1Pipeline",
    "calwebb_dark": "stpipe.pipelines.dark:DarkPipeline",
    "calwebb_guider": "stpipe.pipelines.guider:GuiderPipeline",
    "calwebb_image2": "stpipe.pipelines.image2:Image2Pipeline",
    "calwebb_image3": "stpipe.pipelines.image3:Image3Pipeline",
    "calwebb_spec2": "stpipe.pipelines.spec2:Spec2Pipeline",
    "sloper": "stpipe.pipelines.sloper:SloperPipeline",
}

# Where the built-in classes are public: `stpipe.steps.JumpStep`, whichever module defines it.
_FACES = ("stpipe.steps.", "stpipe.pipelines.")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")


@dataclass(frozen=True)
class Entry:
    """A step or pipeline that can be run by its alias."""

    alias: str
    target: str
    kind: str  # step or pipeline
    package: str

    @property
    def summary(self) -> str:
        """What it does, in a line, read without importing it."""
        return _plugins().summary(self.target) if self.package != OWN else summary(self.alias)


def entries() -> Iterator[Entry]:
    """All pipelines and steps: the built-in ones, then those of other packages."""
    for kind, table in (("pipeline", PIPELINES), ("step", STEPS)):
        for alias, target in table.items():
            yield Entry(alias, target, kind, OWN)
    for plugin in _plugins().found():
        alias = plugin.alias
        # A name that is taken is reached through its package.
        taken = alias in STEPS or alias in PIPELINES
        name = f"{plugin.package}::{alias}" if taken else alias
        yield Entry(name, plugin.target, plugin.kind, plugin.package)


def _plugins() -> Any:
    from stpipe import plugins

    return plugins


def load(target: str) -> type[Step]:
    """The class behind an alias (`jump`), a dotted name or `file.py:Class`.

    Raises
    ------
    UsageError
        When there is no such alias, module, file or class, or two packages offer the alias.
    """
    known = {**STEPS, **PIPELINES}
    if target in known:
        return import_class(known[target])
    if "::" not in target and (":" in target or _DOTTED.match(target)):
        return import_class(_built_in(target) or target)
    if found := _of_plugins(target):
        return import_class(found)
    names = [*known, *(entry.alias for entry in entries())]
    raise UsageError(
        f'"{target}" is no step or pipeline{did_you_mean(target, names)}. '
        "Give an alias (see strun --list), a class path (mypkg.MyPipeline, sloper.py:SloperPipeline) "
        "or a .cfg file."
    )


def _of_plugins(target: str) -> str | None:
    """The class that another package offers as `alias` or `package::alias`."""
    package, _, alias = target.rpartition("::")
    offers = [
        plugin
        for plugin in _plugins().found()
        if plugin.alias == alias and package in ("", plugin.package)
    ]
    if len(offers) > 1:
        names = ", ".join(f"{plugin.package}::{alias}" for plugin in offers)
        raise UsageError(f'"{target}" is offered by several packages; choose one: {names}.')
    return offers[0].target if offers else None


def public_name(target: str) -> str:
    """The name under which products, parameter files and jobs know a class.

    A built-in class is known by its package and its own name, whatever module defines it and whatever
    STScI's `jwst` package calls its namesake: `stpipe.steps.JumpStep` for `stpipe.steps.stage1.jump.step:JumpStep`
    and `jwst.jump.JumpStep`. Any other class is known by its module.
    """
    own = _built_in(target)
    return target if own is None else f"{'.'.join(own.split('.')[:2])}.{own.rpartition(':')[2]}"


def _built_in(target: str) -> str | None:
    """The entry of a built-in class in the tables; None when `target` names no such class."""
    if not target.startswith(("jwst.", *_FACES)):
        return None
    name = re.split("[.:]", target)[-1]
    targets = (*STEPS.values(), *PIPELINES.values())
    return next((own for own in targets if own.endswith(f":{name}")), None)


def exported(table: Mapping[str, str], name: str, package: str) -> Any:
    """The class `name` of a table, imported when it is first used: for the `__getattr__` of a package.

    Raises
    ------
    AttributeError
        When the table has no such class.
    """
    for target in table.values():
        module, _, known = target.partition(":")
        if known == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {package!r} has no attribute {name!r}")


def import_class(target: str) -> type[Step]:
    """Import `package.module:Class`, `package.module.Class` or `path/file.py:Class`."""
    from stpipe.core.pipeline import Pipeline
    from stpipe.core.ramp_step import RampStep
    from stpipe.core.step import Step

    module_name, _, class_name = target.rpartition(":" if ":" in target else ".")
    module = _module(module_name, target)
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Step):
        return found
    if isinstance(found, type):
        raise UsageError(
            f'"{target}": it is no step of stpipe-flow. Derive it from stpipe.Step, RampStep or '
            f"Pipeline. {_plugins().conflict()}".rstrip()
        )
    # A package exports its classes without having imported them.
    classes = [n for n in getattr(module, "__all__", ()) if n.endswith(("Step", "Pipeline"))] or [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Step)
        and value not in (Step, RampStep, Pipeline)
    ]
    raise UsageError(
        f'"{target}": {module_name} has no step or pipeline "{class_name}"'
        f"{did_you_mean(class_name, classes)}; it has {', '.join(sorted(classes)) or 'none'}."
    )


def _module(name: str, target: str) -> object:
    if name.endswith(".py"):
        return _module_from_file(Path(name), target)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A missing import inside the user's module is the user's to see, not an unknown target.
        if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f'"{target}": importing {name} failed: {error}') from error
        raise UsageError(
            f'"{target}": there is no module "{name}" on the Python path or in {Path.cwd()}.'
        ) from None
    except (ImportError, SyntaxError) as error:
        raise UsageError(f'"{target}": importing {name} failed: {error}') from error


def _module_from_file(path: Path, target: str) -> object:
    if not path.is_file():
        raise UsageError(f'"{target}": there is no file {path} (looked in {Path.cwd()}).')
    path = path.resolve()
    for module in list(sys.modules.values()):
        # The same file imported before, under any name: its classes must stay identical.
        if getattr(module, "__file__", None) == str(path):
            return module
    # Neighbours of the file are importable from it, as when Python runs a script.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f'"{target}": {path} is not a Python file.')
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[path.stem]
        raise UsageError(f'"{target}": importing {path} failed: {error}') from error
    return module


def summary(alias: str) -> str:
    """First line of the module that defines `alias`, read without importing it."""
    path = _plugins().source_file({**STEPS, **PIPELINES}[alias].partition(":")[0])
    # Not parsed, as a plugin's is: a listing reads all of them.
    with path.open(encoding="utf-8") as source:
        return str(source.readline()).strip().strip('"').strip()
