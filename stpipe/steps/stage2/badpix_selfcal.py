"""Flag pixels that stand out from their neighbours in all exposures of an integral-field unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.references.selection import Reference, listed
from stpipe.science import dispersion
from stpipe.science.arrays import bits_where
from stpipe.science.background.levels import quiet
from stpipe.science.background.stray_light import DARK
from stpipe.science.bad_pixels import Outlying
from stpipe.science.invalid_pixels import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Floats

__all__ = ["BadpixSelfcalStep"]

Rates: TypeAlias = "ImageModel | IFUImageModel"
TYPES = frozenset({"MIR_MRS", "NRS_IFU"})


class BadpixSelfcalStep(Step):
    """Flag pixels that stand out from their neighbours in all exposures of an integral-field unit.

    What is in the same pixel of the exposure, of backgrounds (`bkg_list`) and of others that are for
    this alone (`selfcal_list`) comes from the detector, not from the sky. The least of them is compared
    with its running median along the dispersion (`kernel_size` pixels, even numbers count as the next
    odd one); the highest and lowest shares of pixels become NaN, DO_NOT_USE and OTHER_BAD_PIXEL. Of
    MIRI the level between the channels is subtracted first. An exposure without others is skipped
    unless `force_single` is set. Backgrounds are not changed: these pixels of the exposure have no
    value, whatever is subtracted.
    """

    alias = "badpix_selfcal"
    suffix = "badpix_selfcal"
    status = "badpix_selfcal"
    input_models = ("ImageModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type", "meta.instrument.detector")
    spec = """
        skip = boolean(default=True)  # Leave this step out
        flagfrac_lower = float(min=0, max=0.5, default=0.001)  # Share of pixels flagged as too low
        flagfrac_upper = float(min=0, max=0.5, default=0.001)  # Share of pixels flagged as too high
        kernel_size = integer(min=1, default=15)  # Pixels of the running median
        force_single = boolean(default=False)  # Also without other exposures
        selfcal_list = force_list(default=list())  # Files of exposures to compare with
        bkg_list = force_list(default=list())  # Files of background exposures, the same
    """
    flagfrac_lower: float
    flagfrac_upper: float
    kernel_size: int
    force_single: bool
    selfcal_list: list[str]
    bkg_list: list[str]

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The other exposures: inputs that are tracked and recorded as references are."""
        del meta
        pending = self.context.pending
        others = listed("background", self.bkg_list, pending)
        return listed("selfcal", self.selfcal_list, pending) | others

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only integral-field units show the same pixels without their source."""
        kind = str(meta.get("meta.exposure.type")).upper()
        if kind not in TYPES:
            return f"it is for {' and '.join(sorted(TYPES))}, not for {kind}"
        if selected or self.force_single:
            return ""
        return "no other exposures (selfcal_list, bkg_list); force_single = True does without"

    def process(self, exposure: Rates) -> Rates:
        """Find the pixels and flag them."""
        size = self.kernel_size | 1
        direction = exposure.meta.wcsinfo.dispersion_direction
        window = {dispersion.HORIZONTAL: (1, size), dispersion.VERTICAL: (size, 1)}
        outlying = Outlying(
            self.flagfrac_lower, self.flagfrac_upper, window.get(direction, (size, size))
        )
        bad = outlying(self._least(exposure))
        for name, values in values_of(exposure).items():
            exposure.set(name, np.where(bad, np.float32(np.nan), values))
        exposure.dq = exposure.dq | bits_where(bad, dqflags.DO_NOT_USE | dqflags.OTHER_BAD_PIXEL)
        self.log.info("%d pixels stand out", bad.sum())
        return exposure

    def _least(self, exposure: Rates) -> Floats:
        """The least of all exposures, pixel by pixel; one of the others is in memory at a time."""
        from stpipe import models

        dark = DARK.get(str(exposure.meta.instrument.detector).upper())
        least = _above(np.asarray(exposure.data), dark)
        for reference in self.selected.values():
            with models.open(str(reference.path)) as other:
                if other.shape != exposure.shape:
                    raise InputError(
                        f"{reference.path} is of shape {other.shape}, allowed: {exposure.shape}, as "
                        "the exposure is."
                    )
                least = np.fmin(least, _above(np.asarray(other.data), dark))
        return least


def _above(data: Floats, dark: tuple[slice, slice] | None) -> Floats:
    """Data above the level of the dark."""
    if dark is None:
        return data
    with quiet():
        return data - np.nanmedian(data[dark])
