"""Snakefile: one readable rule for each step of a pipeline, from the templates in `workflow/`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from string import Template
from typing import TYPE_CHECKING

from stpipe.core.step import Output
from stpipe.errors import UsageError
from stpipe.project.config import all_steps
from stpipe.system import package_data

if TYPE_CHECKING:
    from stpipe.core.step import Step

__all__ = ["RuleText", "of_pipeline", "of_stages", "snakefile"]


@dataclass(frozen=True)
class RuleText:
    """What a rule's text needs: its name, a line about it and its products."""

    name: str
    summary: str
    outputs: tuple[Output, ...]
    asked: bool = False  # parameters may ask for further products
    reads_many: bool = False  # several files, or one of a folder
    suffixes: frozenset[str] = frozenset()  # of all products of the pipeline

    def render(self) -> str:
        """The rule."""
        outputs = [f'        {o.name}=kept("{self.name}", {self._path(o)}),' for o in self.outputs]
        source = f'\n        source=plan.source("{self.name}"),'
        return _template("rule").substitute(
            rule=self.name,
            summary=self.summary,
            outputs="\n".join(outputs),
            first=self.outputs[0].name,
            more=source if self.reads_many else "",
            side=f'        **plan.side_products("{self.name}"),\n' if self.asked else "",
            option=f'\n        side=plan.side("{self.name}"),' if self.asked else "",
            asks=" {params.side}" if self.asked else "",
            source="{params.source}" if self.reads_many else "{input.exposure:q}",
        )

    def joined(self, other: RuleText) -> RuleText:
        """The rule of the same step in two pipelines, of exposures or of associations."""
        if (self.summary, self.outputs) != (other.summary, other.outputs):
            raise UsageError(
                f"{self.name} is in two pipelines of the project, but is a different step in each. "
                "Make a project for each, or a pipeline of your own with another name for it."
            )
        return replace(
            other,
            reads_many=self.reads_many or other.reads_many,
            suffixes=self.suffixes | other.suffixes,
        )

    def _path(self, output: Output) -> str:
        end = f"_{output.suffix}"
        # X_group_scale.fits is not the product "scale" of an exposure X_group.
        longer = sorted(s.removesuffix(end) for s in self.suffixes if s.endswith(end))
        root = "root" + (",[^/]+" + "".join(f"(?<!_{start})" for start in longer) if longer else "")
        path = f'"cal/{{{root}}}{end}{"" if output.many else output.extension}"'
        return f"directory({path})" if output.many else path


def of_pipeline(pipeline: type[Step]) -> list[RuleText]:
    """A rule for each step that `pipeline` may take."""
    steps = [(name, step) for name, step in all_steps(pipeline) if not step.refines]
    many = any(s.takes_many or any(o.many for o in s.outputs) for _, s in steps)
    outputs = {name: step.usual_products() for name, step in steps}
    suffixes = frozenset(o.suffix for made in outputs.values() for o in made)
    return [
        RuleText(
            name.replace(".", "_"),
            (step.__doc__ or step.__name__).strip().splitlines()[0],
            outputs[name],
            any(output.when for output in step.outputs),
            many or len(inspect.signature(step.process).parameters) > 2,  # noqa: PLR2004 - self, one input
            suffixes,
        )
        for name, step in steps
    ]


def of_stages(pipelines: Iterable[type[Step]]) -> list[RuleText]:
    """The rules of pipelines that follow each other; a step that two of them have is one rule.

    Raises
    ------
    UsageError
        When steps of the same name in two of them are not the same.
    """
    rules: dict[str, RuleText] = {}
    for pipeline in pipelines:
        for rule in of_pipeline(pipeline):
            rules[rule.name] = rules[rule.name].joined(rule) if rule.name in rules else rule
    return list(rules.values())


def snakefile(pipeline: str, rules: Iterable[RuleText]) -> str:
    """The text of a Snakefile."""
    head = _template("head").substitute(pipeline=pipeline)
    return head + "".join(rule.render() for rule in rules) + _template("tail").template


def _template(name: str) -> Template:
    path = package_data.folder("workflow") / "templates" / f"{name}.smk"
    return Template(path.read_text(encoding="utf-8"))
