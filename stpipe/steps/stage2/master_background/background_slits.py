"""Take the slitlets of an exposure that see no source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.core.step import Step
from stpipe.errors import NoProduct
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT

if TYPE_CHECKING:
    from stpipe.models import MultiSlitModel, Part

__all__ = ["BackgroundSlitsStep", "is_background"]

NAMES = ("BKG", "BACKGROUND")  # in the names that the plan of the shutters gives to background


class BackgroundSlitsStep(Step):
    """Take the slitlets of an exposure that see no source: SRCNAME has BKG or BACKGROUND in it.

    Without any, or without others, there is no product.
    """

    alias = "background_slits"
    suffix = "background_slits"
    input_models = ("MultiSlitModel",)

    def process(self, exposure: MultiSlitModel) -> MultiSlitModel:
        """The background slits alone."""
        from stpipe import models

        shutters = [slit for slit in exposure.slits if slit.quadrant != FIXED_QUADRANT]
        found = [slit for slit in shutters if is_background(slit)]
        if not found:
            raise NoProduct("no slitlet sees the background alone")
        if len(found) == len(shutters):
            raise NoProduct("no slitlet has a source")
        self.log.info("Background: %s", ", ".join(str(slit.source_name) for slit in found))
        background = models.MultiSlitModel()
        background.update(exposure)
        background.slits.extend(found)
        return background


def is_background(slit: Part) -> bool:
    """Whether a slitlet sees no source."""
    name = str(slit.source_name).upper()
    return any(word in name for word in NAMES)
