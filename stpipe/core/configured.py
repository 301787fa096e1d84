"""What a step is before it runs: its declaration, its parameters and the state of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from stpipe import hooks
from stpipe.core.context import Context
from stpipe.core.products import Output, header_of, model_name
from stpipe.models.base import REGISTRY
from stpipe.models.user_models import known_class
from stpipe.parameters import defaults
from stpipe.parameters.readers import from_keywords
from stpipe.parameters.resolution import resolve
from stpipe.parameters.settings import Parameters, Settings
from stpipe.parameters.writer import write
from stpipe.references.selection import Reference, override, select
from stpipe.registry import public_name

if TYPE_CHECKING:
    from stpipe.models import DataModel
    from stpipe.references.opened import References

__all__ = ["BOOKKEEPING", "SET_IN_PYTHON", "SKIP_PARAMETER", "ConfiguredStep"]

SET_IN_PYTHON = "set in Python"
SKIP_PARAMETER = "skip = True"  # the reason for a step that a parameter leaves out
# Parameters that do not change what is computed.
BOOKKEEPING = frozenset({"skip", "save_results", "output_file", "output_dir", "suffix"})


class ConfiguredStep:
    """A step before it runs: the part of `Step` that holds declaration and parameters."""

    alias: ClassVar[str] = ""
    suffix: str = ""
    status: ClassVar[str] = ""  # meta.cal_step.<status>; empty: no status keyword
    spec: ClassVar[str] = ""
    reference_types: ClassVar[tuple[str, ...]] = ()
    optional_reference_types: ClassVar[tuple[str, ...]] = ()
    references_of: ClassVar[str] = ""  # the step in its pipeline whose overrides count for it, too
    input_models: ClassVar[tuple[str, ...]] = ()  # empty: any model
    prerequisites: ClassVar[tuple[str, ...]] = ()  # metadata that must be there, by dotted name
    uses: ClassVar[tuple[str, ...]] = ()  # metadata that must make sense where they are there
    outputs: ClassVar[tuple[Output, ...]] = ()  # empty: one product, of the input's model
    step_defs: ClassVar[dict[str, Any]] = {}
    composes: ClassVar[bool] = False  # whether `process` calls other steps and computes nothing
    takes_many: ClassVar[bool] = False  # whether `process` takes a library of exposures
    # Whether `process` of a step that takes one exposure may be given a library to combine.
    combines: ClassVar[bool] = False
    # Whether a step that takes many makes other parts of them, and not the same members again.
    regroups: ClassVar[bool] = False
    member_types: ClassVar[tuple[str, ...]] = ()  # members of an association it takes; empty: all
    # In a pipeline the product keeps its input's suffix, and under Snakemake the rule that made it.
    refines: ClassVar[bool] = False

    steps: Mapping[str, ConfiguredStep]  # of a pipeline

    # Set from parameters
    skip: bool
    save_results: bool
    pre_hooks: Sequence[Any]
    post_hooks: Sequence[Any]
    hook_timeout: float | None
    output_file: str | None
    output_dir: str | None

    references: References  # of the run in progress, opened and cut to the exposure's subarray

    def __init__(self, name: str | None = None, **keywords: Any) -> None:
        self._resolve(from_keywords(keywords), name)

    @classmethod
    def from_settings(cls, settings: Settings, name: str | None = None) -> Self:
        """A step with checked parameters."""
        step = cls.__new__(cls)
        step._resolve(settings, name)  # noqa: SLF001 - this is the other constructor
        return step

    def _resolve(self, given: Settings, name: str | None) -> None:
        self.given = given  # what the user says, before anything else is laid under it
        self.parameter_files: Mapping[str, Reference] = {}
        self._configure(resolve(type(self), given.over(defaults.shipped(type(self)))), name)

    def resolve_for(self, meta: Mapping[str, Any]) -> None:
        """Take the parameters that CRDS has for an exposure, except those that the user sets."""
        if self.parent is None:
            cls, before = type(self), self.parameter_files
            self.parameter_files = defaults.central_files(cls, meta, self.context.resolver)
            if before or self.parameter_files:
                self._update(
                    resolve(cls, self.given.over(defaults.below(cls, self.parameter_files)))
                )

    def take(self, settings: Settings) -> None:
        """Take what an association says, where the user has set nothing."""
        if settings.place():
            cls = type(self)
            self.given = self.given.over(settings)
            self._update(resolve(cls, self.given.over(defaults.below(cls, self.parameter_files))))

    def _update(self, parameters: Parameters) -> None:
        """Replace parameters, except those that were set in Python meanwhile."""
        for name, value in parameters.values.items():
            if self.source_of(name) != SET_IN_PYTHON:
                self._set(name, value)
        self.parameters = parameters

    def _set(self, name: str, value: Any) -> None:
        if name == "suffix" and value is None:
            vars(self).pop("suffix", None)  # the suffix of the class shows
        else:
            setattr(self, name, value)

    @classmethod
    def named(cls, name: str) -> Self:
        """A step without parameters, which only gives its name to a record."""
        step = cls.__new__(cls)
        step.name, step.parent = name, None
        return step

    def _configure(
        self, parameters: Parameters, name: str | None, parent: ConfiguredStep | None = None
    ) -> None:
        self.name = name or self.alias or type(self).__name__
        self.parent = parent
        self.refining = self.refines and parent is not None
        self.context: Context = replace(parent.context, chained=True) if parent else Context()
        self.parameters = parameters
        self.selected: Mapping[str, Reference] = {}
        self.warnings: list[str] = []
        self.why_nothing = ""
        self.why_skipped = ""
        self.has_run = False
        self.given_many = False  # whether the input of the run in progress is a library
        self.side_products: dict[str, Any] = {}
        self.saved_aside: list[Path] = []
        for parameter, value in parameters.values.items():
            self._set(parameter, value)
        self.log = logging.getLogger(f"stpipe.{self.qualified_name}")

    def use(self, **changes: Any) -> None:
        """Change the context of the run, for this step and those inside it."""
        self.context = replace(self.context, **changes)

    # --- what a step is --------------------------------------------------------------------------

    @classmethod
    def target(cls) -> str:
        """The class as `strun` and parameter files name it: `stpipe.steps.JumpStep`."""
        return public_name(f"{cls.__module__}.{cls.__qualname__}")

    @classmethod
    def all_reference_types(cls) -> frozenset[str]:
        """Reference types of this step and its substeps."""
        own = frozenset((*cls.reference_types, *cls.optional_reference_types))
        return own.union(*(s.all_reference_types() for s in cls.step_defs.values()))

    @property
    def qualified_name(self) -> str:
        """The name with those of the pipelines around it, the outermost left out."""
        if self.parent is None or self.parent.parent is None:
            return self.name
        return f"{self.parent.qualified_name}.{self.name}"

    @property
    def threads(self) -> int:
        """Threads that a step may use: as many as the run was given."""
        return self.context.threads

    @classmethod
    def main_outputs(cls) -> tuple[Output, ...]:
        """The declared products that every run makes."""
        return tuple(output for output in cls.outputs if not output.when)

    @classmethod
    def usual_products(cls) -> tuple[Output, ...]:
        """What the class makes, whatever the input and the parameters."""
        return cls.main_outputs() or (Output("product", "", cls.suffix or cls.alias),)

    def products(self, model_type: str, meta: Mapping[str, Any]) -> tuple[Output, ...]:
        """The declared products; a step without declaration makes one of its input's model.

        Override it if the model of the input or its metadata, by dotted name, decide.
        """
        del meta
        if main := self.main_outputs():
            first, *rest = main
            return (replace(first, suffix=self.suffix or first.suffix), *rest)
        return (Output("product", model_type, self.suffix or self.alias or self.name),)

    def side_outputs(self, meta: Mapping[str, Any]) -> tuple[Output, ...]:
        """The declared products that parameters ask for, such as `save_opt`.

        Override it if the exposure decides, too, which of them are made.
        """
        del meta
        return tuple(
            output for output in self.outputs if output.when and getattr(self, output.when)
        )

    def labels(self, products: Sequence[Any]) -> list[str]:
        """The suffix of each product that is to be saved."""
        if not products:
            return []
        declared = self.products(model_name(products[0]), header_of(products[0]))
        return [output.suffix for output in declared[: len(products)]]

    def science_parameters(self) -> dict[str, Any]:
        """Parameters that decide what is computed, as they are now."""
        left_out = BOOKKEEPING
        names = [n for n in self.parameters.values if n not in left_out]
        values = {n: getattr(self, n) for n in names if not n.startswith("override_")}
        return {
            n: [hooks.text(h) for h in v] if n.endswith("_hooks") else v for n, v in values.items()
        }

    def pipelines(self) -> list[Mapping[str, Any]]:
        """The pipelines around this step, the outermost first, with parameters of their own."""
        if self.parent is None:
            return list(self.context.pipelines)
        own = {
            "step": self.parent.qualified_name if self.parent.parent else "",
            "class": self.parent.target(),
            "parameters": self.parent.science_parameters(),
        }
        return [*self.parent.pipelines(), own]

    def source_of(self, name: str) -> str:
        """The source of a parameter's value."""
        if vars(self).get(name) != self.parameters.values[name]:
            return SET_IN_PYTHON
        return self.parameters.sources[name]

    def export_config(self, path: str | Path) -> Path:
        """Write a parameter file (`.cfg` or `.asdf`) that repeats this configuration."""
        return write(path, type(self), self.current_parameters())

    def current_parameters(self) -> Parameters:
        """The parameters as they are now, also those set in Python, with their sources."""
        names = self.parameters.values
        return Parameters(
            {name: vars(self).get(name) for name in names},
            {name: self.source_of(name) for name in names},
        )

    # --- what a step overrides -------------------------------------------------------------------

    def not_needed(self, meta: Mapping[str, Any], selected: Mapping[str, Reference]) -> str:
        """Why this step has nothing to do for an exposure; empty when it has.

        Override it when metadata or reference files alone decide, so that planning can leave the
        step out; `meta` maps dotted names to values.
        """
        del meta, selected
        return ""

    def parts(self, meta: Any, selected: Mapping[str, Reference]) -> Any:
        """Labels of the parts that `process` will make of an exposure; None when pixels decide.

        Override it if headers and reference files decide: a project then plans all later steps before
        anything runs. A step that `regroups` is given a list of the metadata of all exposures.
        """
        del meta, selected

    def memory_mb(self, shape: tuple[int, ...], file_mb: float) -> float:
        """Memory beyond that of the interpreter, for a file of `file_mb`.

        `shape` is that of the exposure's ramp: integrations, groups, rows, columns.
        """
        del shape
        return 150 + 4 * file_mb

    def process(self, model: Any) -> Any:
        """The computation: take a model (never write into its arrays), return the product.

        Raise `Skip(reason)` to leave the data as they are and `NoProduct(reason)` to make nothing.
        """
        raise NotImplementedError(f"{self.target()} has no process")

    @classmethod
    def reads(cls, model_type: str) -> bool:
        """Whether files of a class of models can be read; of an unknown one only reading tells."""
        if not cls.input_models or known_class(model_type) is None:
            return True
        readers = (REGISTRY[name].reads or () for name in cls.input_models)
        return model_type in {*cls.input_models, *(name for names in readers for name in names)}

    def read_as(self, model: DataModel) -> DataModel | None:
        """The input as one of `input_models`, such as a raw exposure as a ramp; None when it cannot be.

        Override it when more than the class of the input decides.
        """
        found = type(model).__name__
        if not self.input_models or found in self.input_models:
            return model
        readers = (REGISTRY[name] for name in self.input_models)
        reader = next((cls for cls in readers if found in (cls.reads or ())), None)
        return None if reader is None else reader(model)

    def add_product(self, name: str, product: Any) -> None:
        """Hand over a product that a parameter asked for, while `process` runs.

        It is recorded and saved by itself; steps that follow do not get it.
        """
        self.side_products[name] = product

    # --- reference files -------------------------------------------------------------------------

    def select_references(self, meta: Mapping[str, Any]) -> dict[str, Reference]:
        """The reference file of each type: overrides first, the resolver for the rest."""
        selected: dict[str, Reference] = {}
        wanted = self.wanted_references(meta)
        for reference_type in wanted:
            if value := self._override(reference_type):
                selected[reference_type] = override(reference_type, value)
        open_types = [t for t in wanted if t not in selected]
        return selected | select(self.context.resolver, meta, open_types)

    def _override(self, reference_type: str) -> str | None:
        """The file that the user gives this step, or the steps that it goes with in its pipelines."""
        alike, pipeline = [self], self.parent
        if pipeline is not None and self.references_of in pipeline.steps:
            alike.append(pipeline.steps[self.references_of])
        while pipeline is not None and pipeline.parent is not None:
            pipeline = pipeline.parent
            alike += [s for name, s in pipeline.steps.items() if name == self.name]
        given = (getattr(step, f"override_{reference_type}", None) for step in alike)
        return next((value for value in given if value), None)

    def wanted_references(self, meta: Mapping[str, Any]) -> tuple[str, ...]:
        """The reference types that this step uses for an exposure.

        Override it if parameters or the exposure's mode make some unnecessary.
        """
        del meta
        return (*self.reference_types, *self.optional_reference_types)

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Why the step does not apply, when a reference that it needs is N/A; empty otherwise."""
        types = [t for t in self.reference_types if selected[t].path is None]
        return f"no {', '.join(types)} reference applies (N/A)" if types else ""

    def skip_source(self, reason: str) -> str:
        """The source of `skip = True`; empty if the exposure is the reason."""
        return self.source_of("skip") if reason == SKIP_PARAMETER else ""

    def log_end(self, seconds: float) -> None:
        """Log that the step has run."""
        self.log.info("Step %s done in %.2f s", self.qualified_name, seconds)
