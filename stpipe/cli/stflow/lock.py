"""`stflow lock`: compare a project with its lock, or record what is selected now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stpipe.errors import UsageError
from stpipe.project import config as project_config
from stpipe.project import lock, plan
from stpipe.references.crds import CrdsResolver

__all__ = ["run"]

LATEST = "latest"


def run(folder: str | Path, *, update: bool, context: str | None) -> Iterator[str]:
    """Check or update the lock of the project in `folder`; yields lines for the user.

    Raises
    ------
    ReferenceMissing
        When other files are selected than those recorded, without `update`.
    """
    project_config.read(folder)
    with project_config.inside(folder):
        if context:
            _pin(context)
        # The configuration as it is now: a changed context stands in it.
        config = project_config.read(".")
        checked = project_config.Project.from_config(config)
        selected = plan.select(config)
        if update:
            yield from lock.update(checked, selected)
        else:
            lock.compare(checked, selected)
            yield f"{lock.LOCK}: the selected reference files are the recorded ones."


def _pin(context: str) -> None:
    checked = project_config.Project.from_config(project_config.read("."))
    if checked.references:
        raise UsageError(
            f"{project_config.CONFIG} names a directory of reference files, which has no context."
        )
    checked.use_crds()
    lock.pin(CrdsResolver().context if context == LATEST else context)
