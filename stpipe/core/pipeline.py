"""Pipeline: a step made of steps.

`step_defs` says which steps there are; `process` says, in Python, how data flow between them. By the
time `process` runs, the steps are attributes of the pipeline. The same `process` runs in memory and,
traced on an exposure's header, becomes a Snakefile, so it must not touch pixels itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core import recording
from stpipe.core.configured import SKIP_PARAMETER
from stpipe.core.library_step import LibraryStep
from stpipe.core.products import Parts, Placeholder
from stpipe.core.step import Step
from stpipe.errors import did_you_mean
from stpipe.models import history
from stpipe.parameters.settings import Parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.core.configured import ConfiguredStep

__all__ = ["LibraryPipeline", "Pipeline"]


class Pipeline(Step):
    """A step made of steps: declare `step_defs`, override `process`."""

    composes = True

    def _configure(
        self, parameters: Parameters, name: str | None, parent: ConfiguredStep | None = None
    ) -> None:
        super()._configure(parameters, name, parent)
        self.steps: dict[str, Step] = {}
        self._scratch: Any = None  # the file of products that are set aside
        for step_name, cls in self.step_defs.items():
            step: Step = cls.__new__(cls)
            step._configure(parameters.steps[step_name], step_name, self)  # noqa: SLF001
            self.steps[step_name] = step
            setattr(self, step_name, step)

    def use(self, **changes: Any) -> None:
        """Change the context of the run, for this pipeline and its steps."""
        super().use(**changes)
        inner = {n: value for n, value in changes.items() if n not in ("chained", "pipelines")}
        for step in self.steps.values():
            step.use(**inner)

    def _update(self, parameters: Parameters) -> None:
        super()._update(parameters)
        for name, step in self.steps.items():
            step._update(parameters.steps[name])  # noqa: SLF001 - its parameters are ours to hand on

    def current_parameters(self) -> Parameters:
        """The parameters as they are now, with those of the steps."""
        own = super().current_parameters()
        steps = {name: step.current_parameters() for name, step in self.steps.items()}
        return Parameters(own.values, own.sources, steps)

    def __getattr__(self, name: str) -> Any:
        """Refuse names that are neither a step nor a parameter, with a suggestion."""
        if name.startswith("_") or "steps" not in vars(self):
            raise AttributeError(name)
        raise AttributeError(
            f"{type(self).__name__} has no step or parameter {name!r}"
            f"{did_you_mean(name, [*self.steps, *self.parameters.values])}"
        )

    def labels(self, products: Sequence[Any]) -> list[str]:
        """The suffixes that the products' own steps gave them."""
        first = self.parameters.values.get("suffix") or self.suffix
        own = [_suffix_of(p) or self.name for p in products]
        return [first or own[0], *own[1:]] if own else []


class LibraryPipeline(Pipeline, LibraryStep):
    """A pipeline over many exposures: its `process` takes a `ModelLibrary`."""

    def each(self, step: Step, given: Any) -> Any:
        """What a step for one exposure makes of each member of a library, or of a lone model."""
        from stpipe.models import ModelLibrary

        if isinstance(given, ModelLibrary):
            if step.skip:
                return recording.skipped(step, given, SKIP_PARAMETER)
            library = given.copy()
            for number, member in enumerate(given):
                library[number] = step(member)
            return library
        several = given.length if isinstance(given, Placeholder) else isinstance(given, list)
        return [step(one) for one in given] if several else step(given)

    def set_aside(self, product: Any) -> Any:
        """A product with its arrays in a file (TMPDIR), so that those of many need no memory."""
        from stpipe.models import DataModel

        if isinstance(product, DataModel):
            self._scratch = product.set_aside(self._scratch)
        return product


def _suffix_of(product: Any) -> str:
    """The suffix that a product has from its step; parts and members share one."""
    from stpipe.models import ModelLibrary

    if isinstance(product, (Parts, ModelLibrary)):
        return history.suffix_of(product[0]) if len(product) else ""
    return history.suffix_of(product)
