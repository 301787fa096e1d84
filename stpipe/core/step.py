"""Step: one calibration step as a declaration and a `process`.

A step declares, as class attributes, its names, parameters, references, what it reads and what it
makes, and implements `process`. Everything else is the framework's: opening the input read-only,
finding reference files, hooks, recording how the product was made, naming and saving it.

Override `process`; a step that corrects ramps derives from `RampStep` (`stpipe.core.ramp_step`) instead;
declare `outputs` when there is more than one product.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from stpipe import hooks
from stpipe.core import no_product, provenance
from stpipe.core.products import Output, Parts, Products, StandIn, first_product, listed
from stpipe.core.saving import Saving
from stpipe.engine.chain import compute
from stpipe.errors import InputError, NoProduct, Skip, StpipeError
from stpipe.models.history import append, now
from stpipe.parameters import defaults
from stpipe.parameters.readers import from_keywords, read_cfg
from stpipe.parameters.resolution import resolve
from stpipe.parameters.settings import Configuration, Parameters, Settings
from stpipe.parameters.writer import write
from stpipe.references.crds import CrdsResolver
from stpipe.references.opened import References
from stpipe.references.selection import Reference, Resolver, override
from stpipe.registry import public_name
from stpipe.system import logs

if TYPE_CHECKING:
    from stpipe.graph.partial_run import Window
    from stpipe.models import DataModel

__all__ = [
    "SKIP_PARAMETER",
    "Output",
    "Products",
    "Skip",
    "StandIn",
    "Step",
    "product_name",
]


_LABEL = re.compile(r"[A-Za-z0-9]+([.+-]?[A-Za-z0-9]+)*")
SET_IN_PYTHON = "set in Python"
SKIP_PARAMETER = "skip = True"  # the reason for a step that a parameter leaves out


class Step(Saving):
    """One calibration step; see the module's text for what to override."""

    alias: ClassVar[str] = ""
    suffix: str = ""
    status: ClassVar[str] = ""  # meta.cal_step.<status>; empty: no status keyword
    spec: ClassVar[str] = ""
    reference_types: ClassVar[tuple[str, ...]] = ()
    optional_reference_types: ClassVar[tuple[str, ...]] = ()
    input_models: ClassVar[tuple[str, ...]] = ()  # empty: any model
    prerequisites: ClassVar[tuple[str, ...]] = ()  # metadata that must be there, by dotted name
    outputs: ClassVar[tuple[Output, ...]] = ()  # empty: one product, of the input's model
    step_defs: ClassVar[dict[str, type[Step]]] = {}
    # In a pipeline the product keeps its input's suffix, and under Snakemake the rule that made it.
    refines: ClassVar[bool] = False

    # Set from parameters
    skip: bool
    save_results: bool
    pre_hooks: Sequence[Any]
    post_hooks: Sequence[Any]
    hook_timeout: float | None
    output_file: str | None
    output_dir: str | None

    def __init__(self, name: str | None = None, **keywords: Any) -> None:
        self._settle(from_keywords(keywords), name)

    @classmethod
    def from_settings(cls, settings: Settings, name: str | None = None) -> Self:
        """A step with checked parameters."""
        step = cls.__new__(cls)
        step._settle(settings, name)  # noqa: SLF001 - this is the other constructor
        return step

    def _settle(self, given: Settings, name: str | None) -> None:
        self.given = given  # what the user says, before anything else is laid under it
        self.parameter_files: Mapping[str, Reference] = {}
        self._configure(resolve(type(self), given.over(defaults.shipped(type(self)))), name)

    def settle_for(self, meta: Mapping[str, Any]) -> None:
        """Take the parameters that CRDS has for an exposure, where the user gives none."""
        if self.parent is None:
            cls, before = type(self), self.parameter_files
            self.parameter_files = defaults.central_files(cls, meta, self.resolver)
            if before or self.parameter_files:
                self._take(resolve(cls, self.given.over(defaults.below(cls, self.parameter_files))))

    def _take(self, parameters: Parameters) -> None:
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
        """A step without parameters, only to put its name into a record."""
        step = cls.__new__(cls)
        step.name, step.parent = name, None
        return step

    def _configure(
        self, parameters: Parameters, name: str | None, parent: Step | None = None
    ) -> None:
        self.name = name or self.alias or type(self).__name__
        self.parent = parent
        self.refining = self.refines and parent is not None
        self.chained = parent is not None  # what it makes goes on in memory
        self._threads = 1
        self.parameters = parameters
        self.source: Path | None = None
        self.why_nothing = ""
        self.warnings: list[str] = []
        self.window: Window | None = None  # the part of this pipeline that runs
        self.made_for: list[dict[str, Any]] = []  # pipelines of a plan that this step runs for
        self.resolver: Resolver = parent.resolver if parent else CrdsResolver()
        for parameter, value in parameters.values.items():
            self._set(parameter, value)
        self.log = logging.getLogger(f"stpipe.{self.qualified_name}")

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
        return self.root._threads  # noqa: SLF001 - the same class

    def set_threads(self, threads: int) -> None:
        """Allow this run that many threads."""
        self.root._threads = threads  # noqa: SLF001 - the same class

    @property
    def root(self) -> Step:
        """The outermost pipeline, or the step itself."""
        return self.parent.root if self.parent else self

    @classmethod
    def usual_products(cls) -> tuple[Output, ...]:
        """What the class makes, whatever the input and the parameters."""
        return cls.outputs or (Output("product", "", cls.suffix or cls.alias),)

    def products(self, model_type: str) -> tuple[Output, ...]:
        """The declared products; a step without declaration makes one of its input's model."""
        if self.outputs:
            first, *rest = self.outputs
            return (replace(first, suffix=self.suffix or first.suffix), *rest)
        return (Output("product", model_type, self.suffix or self.alias or self.name),)

    def science_parameters(self) -> dict[str, Any]:
        """Parameters that decide what is computed, as they are now."""
        left_out = provenance.BOOKKEEPING
        names = [n for n in self.parameters.values if n not in left_out]
        values = {n: getattr(self, n) for n in names if not n.startswith("override_")}
        return {
            n: [hooks.text(h) for h in v] if n.endswith("_hooks") else v for n, v in values.items()
        }

    def pipelines(self) -> list[dict[str, Any]]:
        """The pipelines around this step, the outermost first, with parameters of their own."""
        if self.parent is None:
            return self.made_for
        own = {
            "step": self.parent.qualified_name if self.parent.parent else "",
            "class": self.parent.target(),
            "parameters": self.parent.science_parameters(),
        }
        return [*self.parent.pipelines(), own]

    def source_of(self, name: str) -> str:
        """Who gave a parameter its value."""
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

    # --- running ---------------------------------------------------------------------------------

    def not_needed(self, meta: Mapping[str, Any], selected: Mapping[str, Reference]) -> str:
        """Why this step has nothing to do for an exposure; empty when it has.

        Override it when metadata or reference files alone decide, so that planning can leave the
        step out; `meta` maps dotted names to values.
        """
        del meta, selected
        return ""

    def parts(self, meta: Mapping[str, Any], selected: Mapping[str, Reference]) -> Any:
        """Labels of the parts that `process` will make of an exposure; None when pixels decide.

        Override it where headers and reference files tell: a project then plans what comes after
        before anything has run.
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
    def call(cls, source: Any, config_file: str | Path | None = None, **keywords: Any) -> Any:
        """Run on a file or a model with parameters from a file and keywords; return the product.

        Products are written only when `save_results`, `output_file` or `output_dir` ask for it.
        Records go to stderr, or where the file's `[logging]` says; a program that logs already is
        left alone.
        """
        from stpipe.core.associations import assignments

        file = Configuration(None, Settings()) if config_file is None else read_cfg(config_file)
        given = from_keywords(keywords)
        results = []
        with logs.for_call(file.logging):
            for one in (runs := assignments(cls, source)):
                step = cls.from_settings(given.over(one.settings.over(file.settings)))
                logs.log_platform(step.log)
                with one.opened(step) as exposure:
                    results.append(step.run(exposure))
                if step.output_file or step.output_dir:
                    step.save(results[-1])
        return results[0] if runs[0].association is None else results

    @classmethod
    def as_hook(cls, model: Any) -> Any:
        """Run with default parameters: what the class does as a hook of another step."""
        return cls().run(model)

    def __call__(self, *inputs: Any) -> Any:
        """Run as a part of a pipeline."""
        return self.run(*inputs)

    def run(self, *inputs: Any) -> Any:
        """Run on files or models; inputs are never modified.

        Raises
        ------
        InputError
            When the first input is missing, damaged or not of a model that this step reads.
        """
        first = first_product(inputs[0])
        if first is None:
            return self.nothing("there is nothing to work on")
        if self.root.window is not None and self.parent is not None and not self.step_defs:
            return self.root.window.run(self, inputs)
        if isinstance(first, StandIn):
            return first.record(self, *inputs[1:])
        return self.run_alone(first, *inputs[1:])

    def run_alone(self, first: Any, *more: Any) -> Any:
        """Run on a file or model, whatever part of a pipeline is to run."""
        model = self.open(first)
        try:
            self.settle_for(model.to_flat_dict())
            result = self._run(model, *more)
            if not self.chained:
                _finish_pixels(result)
            return result
        finally:
            if isinstance(first, (str, Path)):
                model.close()

    def _run(self, model: DataModel, *more: Any) -> Any:
        if self.skip and self.parent is not None:
            return self._skipped(model, SKIP_PARAMETER)
        started, clock = now(), time.perf_counter()
        self.log.info("Step %s starting", self.qualified_name)
        try:
            result = self._execute(model, more, started)
        except Skip as reason:
            return self._skipped(model, str(reason))
        except NoProduct as reason:
            return self.nothing(str(reason))
        self._log_end(time.perf_counter() - clock)
        if self.save_results:
            self.save(result)
        return result

    def nothing(self, reason: str) -> Any:
        """What stands for the products of a step that legitimately makes none."""
        self.log.warning("Step %s makes no product: %s", self.qualified_name, reason)
        self.why_nothing = reason
        names = [output.name for output in self.outputs]
        return Products(names, [None] * len(names)) if names[1:] else None

    def _log_end(self, seconds: float) -> None:
        self.log.info("Step %s done in %.2f s", self.qualified_name, seconds)

    def _execute(self, model: DataModel, more: Sequence[Any], started: str) -> Any:
        meta = model.to_flat_dict()
        self.selected = self.select_references(meta)
        if reason := self.not_applicable(self.selected) or self.not_needed(meta, self.selected):
            raise Skip(reason)
        self._references = References(self.selected, model)
        try:
            with logs.noticed() as self.warnings:
                given = self.hooked("pre_hooks", model.copy())
                history = list(given.provenance or [])
                result = self.process(given, *more)
            return self._finished(history, result, started)
        finally:
            self._references.close()

    def hooked(self, when: str, model: DataModel) -> DataModel:
        """What the hooks `when` ("pre_hooks" or "post_hooks") leave of a model."""
        for hook in getattr(self, when):
            history, started = list(model.provenance or []), now()
            model = hooks.run(hook, model, self.log, self.hook_timeout)
            if hooks.replaces(hook):
                record = provenance.hooked(self, when, hooks.text(hook), started)
                model.provenance = [*history, record]
        return model

    def _finished(self, history: Sequence[Any], result: Any, started: str) -> Any:
        """Write down how what `process` made was made, and run post-hooks on it."""
        if result is None:
            raise NoProduct("process returned nothing")
        made = result if isinstance(result, (tuple, list)) else (result,)
        declared = self.products(type(made[0]).__name__)
        record = provenance.done(self, self.selected, started)
        finished = []
        for output, product in zip(declared, made, strict=True):
            suffix = {} if self.refining else {"suffix": output.suffix}
            stamped = self._stamped(product, history, record | suffix)
            first = output == declared[0] and not output.many
            finished.append(self.hooked("post_hooks", stamped) if first else stamped)
        return Products([o.name for o in declared], finished) if self.outputs[1:] else finished[0]

    def _stamped(self, product: Any, history: Sequence[Any], record: Mapping[str, Any]) -> Any:
        if not isinstance(product, Mapping):
            self._stamp(product, history, record)
            return product
        if odd := [label for label in product if not _LABEL.fullmatch(str(label))]:
            raise StpipeError(
                f"{self.qualified_name}: found {odd[0]!r} as the label of a part, allowed: letters, "
                "digits, and . + - between them, since it becomes part of a file name."
            )
        for label, part in product.items():
            self._stamp(part, history, {**record, "part": str(label)})
        return Parts.of(product)

    def _stamp(self, product: DataModel, history: Sequence[Any], record: Mapping[str, Any]) -> None:
        product.provenance = [*history, dict(record)]
        if self.status:
            product.set(f"meta.cal_step.{self.status}", "COMPLETE")
        for reference in self.selected.values():
            _stamp_reference(product, reference)
        versions = record["software"]
        product.set("meta.calibration_software_version", f"stpipe-flow {versions['stpipe-flow']}")
        product.set("meta.calibration_software_revision", "RELEASE")
        if "crds" in versions:
            product.set("meta.ref_file.crds.sw_version", versions["crds"])

    def _skipped(self, model: DataModel, reason: str) -> DataModel:
        """The same data, with a note that this step did nothing and why."""
        self.log.info("Step %s skipped: %s", self.qualified_name, reason)
        product = model.copy()
        self.mark_skipped(product, reason, self.skip_source(reason))
        return product

    def skip_source(self, reason: str) -> str:
        """Who asked to skip this step; empty when the exposure itself is the reason."""
        return self.source_of("skip") if reason == SKIP_PARAMETER else ""

    def mark_skipped(self, product: DataModel, reason: str, source: str = "") -> None:
        """Record in `product` that this step was left out, why and on whose word."""
        append(product, provenance.skipped(self, reason, source))
        if self.status and product.get(f"meta.cal_step.{self.status}") != "COMPLETE":
            product.set(f"meta.cal_step.{self.status}", "SKIPPED")

    # --- inputs ----------------------------------------------------------------------------------

    def open(self, source: Any) -> DataModel:
        """The input as a model that this step reads; checked from its header."""
        from stpipe import models

        if not isinstance(source, (str, Path, models.DataModel)):
            raise InputError(
                f"{self.qualified_name}: the input is a {type(source).__name__}, allowed: a path or a "
                "model. Wrap an array in a model first, such as models.ImageModel(array)."
            )
        model = source if isinstance(source, models.DataModel) else models.open(source)
        name = source if isinstance(source, (str, Path)) else model.get("meta.filename")
        self._remember(name)
        if self.skip and self.parent is not None:
            return model  # it passes through: what the step would need does not matter
        model = self._as_declared(model)
        self._check(model)
        return model

    def _remember(self, source: str | Path | None) -> None:
        if source is not None and self.source is None:
            self.source = Path(source)

    def _as_declared(self, model: DataModel) -> DataModel:
        """The input as one of the declared models, such as a raw exposure as a ramp."""
        from stpipe.models.base import REGISTRY

        found = type(model).__name__
        if found == no_product.MODEL:
            reason = (model.provenance or [{}])[-1].get("reason")
            raise InputError(
                f"{self.qualified_name}: {self.source or 'the input'} holds a {found}: an earlier step "
                f"made nothing of this exposure ({reason})."
            )
        if not self.input_models or found in self.input_models:
            return model
        for name in self.input_models:
            if found in (REGISTRY[name].reads or ()):
                return REGISTRY[name](model)
        raise InputError(
            f"{self.qualified_name}: {self.source or 'the input'} holds a {found}, allowed: "
            f"{' or '.join(self.input_models)}. Give the product of an earlier step."
        )

    def _check(self, model: DataModel) -> None:
        """Refuse headers that lack what this step needs."""
        if lacking := [name for name in self.prerequisites if model.get(name) is None]:
            raise InputError(
                f"{self.qualified_name}: {model.get('meta.filename')} lacks "
                f"{', '.join(lacking)}; the step cannot run without."
            )

    # --- references ------------------------------------------------------------------------------

    def select_references(self, meta: Mapping[str, Any]) -> dict[str, Reference]:
        """The reference file of each type: overrides first, the resolver for the rest."""
        selected: dict[str, Reference] = {}
        wanted = self.wanted_references(meta)
        for reference_type in wanted:
            if value := getattr(self, f"override_{reference_type}", None):
                selected[reference_type] = override(reference_type, value)
        open_types = [t for t in wanted if t not in selected]
        return selected | self.root.resolver.select(meta, open_types)

    def wanted_references(self, meta: Mapping[str, Any]) -> tuple[str, ...]:
        """The reference types that this step uses for an exposure.

        Override it when parameters or the exposure's mode leave some out: it spares the search.
        """
        del meta
        return (*self.reference_types, *self.optional_reference_types)

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Why the step does not apply, when a reference that it needs is N/A; empty otherwise."""
        types = [t for t in self.reference_types if selected[t].path is None]
        return f"no {', '.join(types)} reference applies (N/A)" if types else ""

    @property
    def references(self) -> References:
        """Reference models of the run in progress, cut to the exposure's subarray."""
        return self._references


def _finish_pixels(result: Any) -> None:
    """Compute what was put off: nobody outside meets a product that waits."""
    for product in listed(result):
        for model in product if isinstance(product, Parts) else (product,):
            compute(model)


def product_name(step: Step, suffix: str) -> str:
    """The file name of the exposure's product `suffix`; for use in a pipeline's `process`."""
    return step.product_name(suffix)


def _stamp_reference(product: DataModel, reference: Reference) -> None:
    name = f"meta.ref_file.{reference.type}.name"
    if name in product.schema.metadata:
        product.set(name, reference.recorded_name)
    if reference.context:
        product.set("meta.ref_file.crds.context_used", reference.context)
