"""Pipeline: a step made of steps.

`step_defs` says which steps there are; `process` says, in Python, how data flow between them. By the
time `process` runs, the steps are attributes of the pipeline. The same `process` runs in memory and,
traced on an exposure's header, becomes a Snakefile, so it must not touch pixels itself.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from stpipe import hooks
from stpipe.core.library_step import LibraryStep, stand_in_of
from stpipe.core.products import Parts
from stpipe.core.step import Products, StandIn, Step
from stpipe.errors import NoProduct, ReferenceMissing, did_you_mean
from stpipe.models import history
from stpipe.parameters.settings import Parameters
from stpipe.references.checksums import hash_ahead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.models import DataModel
    from stpipe.references.selection import Reference

__all__ = ["LibraryPipeline", "Pipeline"]


class Pipeline(Step):
    """A step made of steps: declare `step_defs`, override `process`."""

    def _configure(
        self, parameters: Parameters, name: str | None, parent: Step | None = None
    ) -> None:
        super()._configure(parameters, name, parent)
        self.steps: dict[str, Step] = {}
        for step_name, cls in self.step_defs.items():
            step = cls.__new__(cls)
            step._configure(parameters.steps[step_name], step_name, self)  # noqa: SLF001
            self.steps[step_name] = step
            setattr(self, step_name, step)

    def _take(self, parameters: Parameters) -> None:
        super()._take(parameters)
        for name, step in self.steps.items():
            step._take(parameters.steps[name])  # noqa: SLF001 - its parameters are ours to hand on

    def current_parameters(self) -> Parameters:
        """The parameters as they are now, with those of the steps."""
        own = super().current_parameters()
        steps = {name: step.current_parameters() for name, step in self.steps.items()}
        return Parameters(own.values, own.sources, steps)

    def __getattr__(self, name: str) -> Any:
        """Steps and parameters are attributes; anything else is a slip of the pen."""
        if name.startswith("_") or "steps" not in vars(self):
            raise AttributeError(name)
        raise AttributeError(
            f"{type(self).__name__} has no step or parameter {name!r}"
            f"{did_you_mean(name, [*self.steps, *self.parameters.values])}"
        )

    def run(self, *inputs: Any) -> Any:
        """Run `process`; a stand-in passes through, leaving the steps in its graph."""
        first = inputs[0][0] if isinstance(inputs[0], Products) else inputs[0]
        if isinstance(first, StandIn) and not self.skip:
            return self.process(first, *inputs[1:])
        return super().run(*inputs)

    def labels(self, products: Sequence[Any]) -> list[str]:
        """The suffixes that the products' own steps gave them."""
        first = self.parameters.values.get("suffix") or self.suffix
        own = [_suffix_of(p) or self.name for p in products]
        return [first or own[0], *own[1:]] if own else []

    def _execute(self, model: DataModel, more: Sequence[Any], started: str) -> Any:
        # The steps record themselves and select their references; nothing is added for the whole.
        del started
        if self.parent is None and self.window is None:
            self._hash_ahead(model.to_flat_dict())
        given = hooks.run_all(self.pre_hooks, model.copy(), self.log, self.hook_timeout)
        result = self.process(given, *more)
        if result is None:
            raise NoProduct("process returned nothing")
        if not self.post_hooks:
            return result
        first, *rest = result if isinstance(result, tuple) else (result,)
        hooked = hooks.run_all(self.post_hooks, first, self.log, self.hook_timeout)
        return Products(result.names, (hooked, *rest)) if isinstance(result, Products) else hooked

    def _hash_ahead(self, meta: Mapping[str, Any]) -> None:
        """Begin with the checksums of reference files, which the steps will record."""
        selected: list[Reference] = []
        for step in self.steps.values():
            if not step.skip:
                with contextlib.suppress(ReferenceMissing):  # the step will say so
                    selected += step.select_references(meta).values()
        hash_ahead(reference.path for reference in selected if reference.path)


class LibraryPipeline(Pipeline, LibraryStep):
    """A pipeline over many exposures: its `process` takes a `ModelLibrary`."""

    def run(self, *inputs: Any) -> Any:
        """Run `process`; stand-ins pass through, leaving the steps in their graph."""
        stand_in = stand_in_of(inputs[0])
        if stand_in is not None and not self.skip:
            return self.process(stand_in, *inputs[1:])
        return LibraryStep.run(self, *inputs)

    def _execute(self, library: Any, more: Sequence[Any], started: str) -> Any:
        # The steps record themselves and select their references; nothing is added for the whole.
        del started
        self._refuse_shell_hooks()
        for hook in self.pre_hooks:
            library = hooks.run(hook, library, self.log) or library
        result = self.process(library, *more)
        if result is None:
            raise NoProduct("process returned nothing")
        return result


def _suffix_of(product: Any) -> str:
    """The suffix that a product has from its step; parts and members have one together."""
    from stpipe.models import ModelLibrary

    if isinstance(product, (Parts, ModelLibrary)):
        return history.suffix_of(product[0]) if len(product) else ""
    return history.suffix_of(product)
