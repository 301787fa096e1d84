"""Snakefile: one readable rule for each step of a pipeline, from the templates in `workflow/`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from stpipe import resources
from stpipe.generate.project import all_steps
from stpipe.library_step import LibraryStep
from stpipe.step import Output

if TYPE_CHECKING:
    from stpipe.step import Step

__all__ = ["RuleText", "of_pipeline", "snakefile"]


@dataclass(frozen=True)
class RuleText:
    """What a rule's text needs: its name, a line about it and its products."""

    name: str
    summary: str
    outputs: tuple[Output, ...]
    reads_many: bool = False  # several files, or one of a folder

    def render(self) -> str:
        """The rule."""
        outputs = [f'        {o.name}=kept("{self.name}", {_path(o)}),' for o in self.outputs]
        source = f'\n        source=plan.source("{self.name}"),'
        return _template("rule").substitute(
            rule=self.name,
            summary=self.summary,
            outputs="\n".join(outputs),
            first=self.outputs[0].name,
            more=source if self.reads_many else "",
            source="{params.source}" if self.reads_many else "{input.exposure:q}",
        )


def _path(output: Output) -> str:
    if output.many:
        return f'directory("cal/{{root}}_{output.suffix}")'
    return f'"cal/{{root}}_{output.suffix}.fits"'


def of_pipeline(pipeline: type[Step]) -> list[RuleText]:
    """A rule for each step that `pipeline` may take."""
    steps = [(name, step) for name, step in all_steps(pipeline) if not step.refines]
    many = any(issubclass(s, LibraryStep) or any(o.many for o in s.outputs) for _, s in steps)
    return [
        RuleText(
            name.replace(".", "_"),
            (step.__doc__ or step.__name__).strip().splitlines()[0],
            step.outputs or (Output("product", "", step.suffix or step.alias),),
            many or len(inspect.signature(step.process).parameters) > 2,  # noqa: PLR2004 - self, one input
        )
        for name, step in steps
    ]


def snakefile(pipeline: str, rules: Iterable[RuleText]) -> str:
    """The text of a Snakefile."""
    head = _template("head").substitute(pipeline=pipeline)
    return head + "".join(rule.render() for rule in rules) + _template("tail").template


def _template(name: str) -> Template:
    path = resources.folder("workflow") / "templates" / f"{name}.smk"
    return Template(path.read_text(encoding="utf-8"))
