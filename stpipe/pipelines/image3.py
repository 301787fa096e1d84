"""From calibrated images to a mosaic and a catalogue of its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import LibraryPipeline
from stpipe.core.products import header_of
from stpipe.core.step import Products
from stpipe.science.exposure_types import is_moving_target
from stpipe.steps.stage2.resample import ResampleStep
from stpipe.steps.stage3.assign_mtwcs import AssignMTWcsStep
from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep
from stpipe.steps.stage3.skymatch import SkyMatchStep
from stpipe.steps.stage3.source_catalog.step import SourceCatalogStep
from stpipe.steps.stage3.tweakreg.step import TweakRegStep

if TYPE_CHECKING:
    from stpipe.models import ModelLibrary

__all__ = ["Image3Pipeline"]


class Image3Pipeline(LibraryPipeline):
    """From calibrated images to a mosaic and a catalogue of its sources.

    Of an association: `strun calwebb_image3 jw01234-a3001_image3_asn.json`. One exposure at a time is
    in memory, besides the mosaic. Exposures of a target that moves are aligned with it, others by
    stars.
    """

    alias = "calwebb_image3"
    member_types = ("science",)
    step_defs = {
        "assign_mtwcs": AssignMTWcsStep,
        "tweakreg": TweakRegStep,
        "skymatch": SkyMatchStep,
        "outlier_detection": OutlierDetectionStep,
        "resample": ResampleStep,
        "source_catalog": SourceCatalogStep,
    }

    def process(self, library: ModelLibrary) -> Any:
        """Align, level, clean and combine; return (mosaic, catalog, segments), or the mosaic alone."""
        if is_moving_target(header_of(library)):
            library = self.assign_mtwcs(library)
        else:
            library = self.tweakreg(library)
        library = self.skymatch(library)
        library = self.outlier_detection(library)
        mosaic = self.resample(library)
        found = self.source_catalog(mosaic)
        if not isinstance(found, Products):
            return found  # the mosaic, which says that there is no catalogue and why
        return Products(("mosaic", "catalog", "segments"), (mosaic, *found))
