"""Step: one calibration step as a declaration and a `process`.

A step declares, as class attributes, its names, parameters, references, what it reads and what it
makes, and implements `process`. Everything else is the framework's: opening the input read-only,
finding reference files, hooks, recording how the product was made, naming and saving it
(`stpipe.core.run`).

Override `process`; a step that corrects ramps derives from `stpipe.RampStep` instead; declare
`outputs` when there is more than one product.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stpipe.core import run, saving
from stpipe.core.associations import assignments
from stpipe.core.configured import SKIP_PARAMETER, ConfiguredStep
from stpipe.core.products import Output, Placeholder, Products
from stpipe.errors import Skip
from stpipe.parameters.readers import from_keywords, read_cfg
from stpipe.parameters.settings import Configuration, Settings
from stpipe.system import logs

__all__ = ["SKIP_PARAMETER", "Output", "Placeholder", "Products", "Skip", "Step", "product_name"]


class Step(ConfiguredStep):
    """One calibration step; see the module's text for what to override."""

    @classmethod
    def call(cls, source: Any, config_file: str | Path | None = None, **keywords: Any) -> Any:
        """Run on a file or a model with parameters from a file and keywords; return the product.

        Products are written only when `save_results`, `output_file` or `output_dir` ask for it.
        Records go to stderr, or where the file's `[logging]` says; a program that logs already is
        left alone.
        """
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
        if self.parent is None and self.output_dir is not None:
            self.use(output_dir=self.output_dir)
        runner = self.context.runner
        if self.takes_many and self.parent is None and runner is None:
            (one,) = assignments(type(self), inputs[0])
            self.take(one.settings)
        return run.run(self, inputs) if runner is None else runner.run(self, inputs)

    def save(self, result: Any, suffix: str | None = None) -> list[Path]:
        """Write the products under their names and return the paths.

        With a `suffix` the product is an intermediate one: `output_file` and the parameter `suffix` do
        not apply to it.

        Raises
        ------
        ParameterError
            When a product would overwrite the input.
        """
        return saving.save(self, result, suffix)

    def product_name(self, suffix: str) -> str:
        """The file name of this exposure's product `suffix`, in the run's output folder."""
        return saving.product_name(self, suffix)

    def check_output_file(self) -> None:
        """Refuse invalid names of products before anything is computed."""
        saving.check_output_file(self)


def product_name(step: Step, suffix: str) -> str:
    """The file name of the exposure's product `suffix`; for use in a pipeline's `process`."""
    return step.product_name(suffix)
