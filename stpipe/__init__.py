"""stpipe-flow: calibrate exposures in memory, step by step, or under Snakemake.

>>> from stpipe import Pipeline, Step, models
>>> from stpipe import Detector1Pipeline, JumpStep
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stpipe.system.software import VERSION as __version__  # noqa: N811 - the name that packages have

if TYPE_CHECKING:
    from stpipe import models
    from stpipe.core.library_step import LibraryStep
    from stpipe.core.pipeline import LibraryPipeline, Pipeline
    from stpipe.core.ramp_step import RampStep
    from stpipe.core.step import Output, Skip, Step, product_name
    from stpipe.models import open  # noqa: A004 - stpipe.open is the published name
    from stpipe.pipelines import *  # noqa: F403 - every class that the package exports
    from stpipe.steps import *  # noqa: F403 - as above

__all__ = [
    "LibraryPipeline",
    "LibraryStep",
    "Output",
    "Pipeline",
    "RampStep",
    "Skip",
    "Step",
    "__version__",
    "models",
    "open",
    "product_name",
]

_HOMES = {
    "LibraryPipeline": "stpipe.core.pipeline",
    "LibraryStep": "stpipe.core.library_step",
    "Output": "stpipe.core.step",
    "Pipeline": "stpipe.core.pipeline",
    "RampStep": "stpipe.core.ramp_step",
    "Skip": "stpipe.core.step",
    "Step": "stpipe.core.step",
    "open": "stpipe.models",
    "product_name": "stpipe.core.step",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `strun --help` imports none of them.

    The built-in steps and pipelines are among them: `stpipe.JumpStep`, `stpipe.Detector1Pipeline`.
    """
    if name == "models":
        return importlib.import_module("stpipe.models")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name.endswith(("Step", "Pipeline")):
        from stpipe.registry import PIPELINES, STEPS, exported

        return exported({**STEPS, **PIPELINES}, name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
