"""Correct slitlets for the shadow of the bars between shutters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import InputError
from stpipe.science.flux import convert
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.spectra.bar_shadow import shadow_at, shadow_of
from stpipe.science.spectra.slits import Slits, each_slit, has_many
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["BarShadowStep"]

SHUTTERS = "NRS_MSASPEC"
PITCH = 1.15  # of shutters, in their heights, where it is not known


class BarShadowStep(Step):
    """Correct slitlets for the shadow of the bars between shutters.

    Light of an extended source that falls on bars and closed shutters is missing: values are divided
    by what is left along the slitlet, at the wavelength of a pixel. The reference has it for one open
    shutter and for three; that of a slitlet is put together from halves of both by SHUTSTA. It is
    attached as `barshadow`, and BARSHDW says that it was applied. Point sources are left as they
    are, with a `barshadow` of 1, and fixed slits have no bars.

    Errors and variances follow. With `inverse` the correction is undone. Only of the shutters of
    NIRSpec; exposures of other types are left as they are.
    """

    alias = "barshadow"
    suffix = "barshadow"
    status = "barshadow"
    input_models = ("ImageModel", "IFUImageModel", "SlitModel", "MultiSlitModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("barshadow",)
    spec = """
        inverse = boolean(default=False)  # Undo the correction
        source_type = option('POINT', 'EXTENDED', default=None)  # For all sources; None: SRCTYPE
    """
    inverse: bool
    source_type: str | None

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None without shutters."""
        return self.reference_types if _kind(meta) == SHUTTERS else ()

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without a reference the shadow is not known."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only shutters have bars."""
        del selected
        kind = _kind(meta)
        return "" if kind == SHUTTERS else f"exposures of type {kind} have no shutters"

    def process(self, exposure: Slits) -> Slits:
        """Correct values, errors and variances of slitlets with extended sources."""
        if not has_many(exposure):
            raise InputError(
                f"{self.qualified_name}: {exposure.meta.filename} is the exposure of all slitlets, "
                "which are corrected one by one. Run extract_2d."
            )
        exposure.slits.revive("meta.wcs")
        for slit, meta in each_slit(exposure):
            if meta.get("quadrant") != FIXED_QUADRANT:
                self._correct(slit, meta)
        return exposure

    def _correct(self, slit: Spectral, meta: FlatMetadata) -> None:
        extended = (self.source_type or meta.get("source_type")) != "POINT"
        slit.set("barshadow_corrected", extended)
        if not extended:
            slit.barshadow = np.ones(slit.shape[-2:], dtype=np.float32)
            return
        slit.barshadow = self._shadow(slit, meta, self.references["barshadow"])
        values = convert(values_of(slit), slit.barshadow, inverse=not self.inverse)
        assign(slit, values, slit.dq)

    def _shadow(self, slit: Spectral, meta: FlatMetadata, reference: CutReference) -> Floats:
        """The shadow at the place and wavelength of every pixel."""
        wcs, state = slit.meta.wcs, meta["shutter_state"]
        if wcs is None or "x" not in state:
            raise InputError(
                f"{self.qualified_name}: slit {meta['name']} of {meta.get('meta.filename')} has "
                f"SHUTSTA {state!r} and {'no' if wcs is None else 'a'} gwcs; needed are the shutter of "
                "the source (x) and a gwcs. Run assign_wcs and extract_2d."
            )
        rows, columns = np.indices(slit.shape[-2:], dtype=np.float64)
        _, place, wave = wcs.get_transform("detector", "slit_frame")(columns, rows)
        pitch = len(reference.data1x1) // 2
        along = state.index("x") + 1 + place / (meta.get("slit_yscale") or PITCH)
        sample = (wave - reference.crval1) / reference.cdelt1
        shadow = shadow_of(reference.data1x1, reference.data1x3, state)
        return shadow_at(shadow, along * pitch, sample)


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
