"""The pipelines, by class: `from stpipe.pipelines import Detector1Pipeline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.registry import PIPELINES, exported

if TYPE_CHECKING:
    from stpipe.pipelines.dark import DarkPipeline
    from stpipe.pipelines.detector1 import Detector1Pipeline
    from stpipe.pipelines.guider import GuiderPipeline
    from stpipe.pipelines.image2 import Image2Pipeline
    from stpipe.pipelines.image3 import Image3Pipeline
    from stpipe.pipelines.master_background_mos import MasterBackgroundMosPipeline
    from stpipe.pipelines.sloper import SloperPipeline
    from stpipe.pipelines.spec2 import Spec2Pipeline
    from stpipe.pipelines.spec3 import Spec3Pipeline

__all__ = [
    "DarkPipeline",
    "Detector1Pipeline",
    "GuiderPipeline",
    "Image2Pipeline",
    "Image3Pipeline",
    "MasterBackgroundMosPipeline",
    "SloperPipeline",
    "Spec2Pipeline",
    "Spec3Pipeline",
]


def __getattr__(name: str) -> Any:
    return exported(PIPELINES, name, __name__)
