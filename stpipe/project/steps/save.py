"""Save a product under one more suffix; the rule behind `save` in a pipeline's `process`."""

from __future__ import annotations

from typing import Any

from stpipe.core.step import Step

__all__ = ["SaveStep"]


class SaveStep(Step):
    """Save a product under one more suffix, unchanged."""

    alias = "save"
    suffix = "save"

    def run(self, *inputs: Any) -> Any:
        """The product as it is: saving is no step of its history."""
        return self.open(inputs[0])

    def process(self, model: Any) -> Any:
        """Nothing to compute."""
        return model
