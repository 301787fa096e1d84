"""Divide spectra of MIRI's medium-resolution spectrometer by the fringes of its detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.core.step import Step
from stpipe.science.exposure_types import MRS
from stpipe.science.flux import convert
from stpipe.science.invalid_pixels import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference

__all__ = ["FringeStep"]

Rates: TypeAlias = "ImageModel | IFUImageModel"


class FringeStep(Step):
    """Divide spectra of MIRI's medium-resolution spectrometer by the fringes of its detectors.

    Light is reflected within the detector and interferes with itself. Values, errors and variances
    are divided by the pattern that the FRINGE reference has of extended sources; where it is not
    known (NaN) they stay as they are. Errors and flags of the reference count for nothing. Of point
    sources a part of the fringes remains. Exposures of other types are left as they are.
    """

    alias = "fringe"
    suffix = "fringe"
    status = "fringe"
    input_models = ("ImageModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("fringe",)

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None without fringes."""
        return self.reference_types if _kind(meta) == MRS else ()

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without a reference the fringes are not known."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only this instrument has such fringes."""
        del selected
        kind = _kind(meta)
        return "" if kind == MRS else f"it is for {MRS}, not for {kind}"

    def process(self, exposure: Rates) -> Rates:
        """Correct values, errors and variances."""
        fringes = self.references["fringe"].data
        known = np.where(np.isnan(fringes), np.float32(1), fringes)
        for name, values in convert(values_of(exposure), known, inverse=True).items():
            exposure.set(name, values)
        return exposure


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
