"""No product: the file that a step of a project writes if it rightly makes no product.

A project knows a product by its file. Where a step finds nothing to make (no ramp that could be
fitted), its files are there all the same: they hold the exposure's metadata, the history, and the
reason, and no array. Steps that would read them make such files in turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.models import history
from stpipe.system import folders

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep

__all__ = ["MODEL", "is_marked", "mark"]

MODEL = "NothingModel"


def is_marked(path: str | Path) -> bool:
    """Whether a file states that there is no product."""
    from stpipe import models

    return models.open_metadata(path).model_type == MODEL


def mark(step: ConfiguredStep, source: str | Path, target: Path, reason: str) -> Path:
    """Write a file which states that `step` makes no product of `source`, and why."""
    from stpipe import models

    marker = models.NothingModel()
    place = Path(source)
    files = folders.files(place) if place.is_dir() else [place]
    for file in files[:1]:
        with models.open(file) as before:
            marker.update(before)
    record: dict[str, Any] = {
        "step": step.qualified_name,
        "class": step.target(),
        "status": "NOTHING",
        "reason": reason,
        "finished": history.now(),
    }
    history.append(marker, record)
    target.parent.mkdir(parents=True, exist_ok=True)
    marker.save(target)
    return target
