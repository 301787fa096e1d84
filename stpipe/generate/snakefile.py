"""Snakefile: one readable rule for each step of a pipeline, from the templates in `workflow/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from stpipe import resources
from stpipe.generate.project import all_steps

if TYPE_CHECKING:
    from stpipe.step import Step

__all__ = ["RuleText", "of_pipeline", "snakefile"]


@dataclass(frozen=True)
class RuleText:
    """What a rule's text needs: its name, a line about it and its products' suffixes by name."""

    name: str
    summary: str
    suffixes: Mapping[str, str]

    def render(self) -> str:
        """The rule."""
        first, *_ = self.suffixes
        outputs = [
            f'        {n}=kept("{self.name}", "cal/{{root}}_{s}.fits"),'
            for n, s in self.suffixes.items()
        ]
        return _template("rule").substitute(
            rule=self.name, summary=self.summary, outputs="\n".join(outputs), first=first
        )


def of_pipeline(pipeline: type[Step]) -> list[RuleText]:
    """A rule for each step that `pipeline` may take."""
    return [
        RuleText(
            name.replace(".", "_"),
            (step.__doc__ or step.__name__).strip().splitlines()[0],
            {o.name: o.suffix for o in step.outputs} or {"product": step.suffix or step.alias},
        )
        for name, step in all_steps(pipeline)
        if not step.refines
    ]


def snakefile(pipeline: str, rules: Iterable[RuleText]) -> str:
    """The text of a Snakefile."""
    head = _template("head").substitute(pipeline=pipeline)
    return head + "".join(rule.render() for rule in rules) + _template("tail").template


def _template(name: str) -> Template:
    path = resources.folder("workflow") / "templates" / f"{name}.smk"
    return Template(path.read_text(encoding="utf-8"))
