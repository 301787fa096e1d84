"""Rules of a project that are not steps of its pipeline: shell hooks, and products saved twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stpipe import hooks
from stpipe.core import provenance
from stpipe.core.inputs import opened_model
from stpipe.core.step import Step
from stpipe.models.history import now
from stpipe.system.atomic import write_text

__all__ = ["HookStep", "LookStep", "SaveStep"]


class HookStep(Step):
    """Run one hook on a product; the history says which step it belongs to."""

    alias = "hook"
    suffix = "hook"
    spec = """
        hook = string()  # The hook
        owner = string()  # Name of the step that it belongs to
        owner_class = string()  # Class of that step
        when = option("pre_hooks", "post_hooks")  # Whether it runs before or after that step
    """

    hook: str
    owner: str
    owner_class: str
    when: str

    def run(self, *inputs: Any) -> Any:
        """The product as the hook leaves it."""
        model = opened_model(self, inputs[0]).copy()
        history, started = list(model.provenance or []), now()
        made = hooks.run(self.hook, model, self.log, self.hook_timeout)
        record = provenance.hooked(self, self.when, self.hook, started)
        made.provenance = [*history, record | {"step": self.owner, "class": self.owner_class}]
        return made


class LookStep(HookStep):
    """Run one hook that only inspects a product."""

    def run(self, *inputs: Any) -> None:
        """No product is made; if the hook fails, the nodes that wait for it do not run."""
        hooks.run(self.hook, opened_model(self, inputs[0]).copy(), self.log, self.hook_timeout)

    def check_output_file(self) -> None:
        """A marker file may have any name."""

    def save(self, result: Any, suffix: str | None = None) -> list[Path]:
        """Write a marker file: the hook has succeeded."""
        del result, suffix
        mark = Path(self.output_file or f"{self.suffix}.passed")
        mark.parent.mkdir(parents=True, exist_ok=True)
        write_text(mark, f"{self.hook}\n")
        return [mark]


class SaveStep(Step):
    """Save a product under one more suffix, unchanged."""

    alias = "save"
    suffix = "save"

    def run(self, *inputs: Any) -> Any:
        """The product as it is: saving is not a step in its history."""
        return opened_model(self, inputs[0])

    def process(self, model: Any) -> Any:
        """Nothing to compute."""
        return model
