"""Parameters that have no meaning in a project, and what to give instead."""

from __future__ import annotations

from collections.abc import Iterator

from stpipe.core.step import Step
from stpipe.errors import UsageError

__all__ = ["refuse"]


def refuse(pipeline: Step) -> None:
    """Refuse parameters that the rules of a project would ignore.

    Raises
    ------
    UsageError
        With everything that was found.
    """
    if problems := list(_problems(pipeline)):
        raise UsageError("\n".join(problems))


def _problems(step: Step) -> Iterator[str]:
    for name in ("output_file", "output_dir"):
        if (value := getattr(step, name)) is not None:
            yield (
                f"{step.qualified_name}: {name} = {value} cannot be used in a project, whose "
                f"products are cal/<root>_<suffix>.fits. Remove {name}."
            )
    if step.step_defs:
        yield from _problems_of_whole(step)
        for name in step.step_defs:
            yield from _problems(getattr(step, name))


def _problems_of_whole(pipeline: Step) -> Iterator[str]:
    """A pipeline as a whole is not a job; its steps are."""
    first, last = next(iter(pipeline.step_defs)), next(reversed(pipeline.step_defs))
    if pipeline.pre_hooks or pipeline.post_hooks:
        yield (
            f"{pipeline.name}: hooks of a whole pipeline cannot run in a project, where each step is a "
            f"job. Give them to a step: --steps.{first}.pre_hooks, --steps.{last}.post_hooks."
        )
    if suffix := vars(pipeline).get("suffix"):
        yield (
            f"{pipeline.name}: suffix = {suffix} of a whole pipeline cannot be used in a project, "
            f"where each step makes files. Give it to a step: --steps.{last}.suffix."
        )
