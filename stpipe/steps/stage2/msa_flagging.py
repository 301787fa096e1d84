"""Flag the pixels that light of shutters which failed open falls on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.core.step import Step
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where
from stpipe.science.wcs.nirspec import failed_open

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["MSAFlagOpenStep"]

# Exposures in which light from the sky or a lamp is behind all the shutters.
TYPES = frozenset({"NRS_MSASPEC", "NRS_IFU", "NRS_LAMP", "NRS_AUTOFLAT", "NRS_AUTOWAVE"})


class MSAFlagOpenStep(Step):
    """Flag the pixels that light of shutters which failed open falls on.

    Some shutters of NIRSpec cannot be closed: they are open in any of the states that the reference
    (MSAOPER) lists. Their spectra are traced with the optics that `assign_wcs` uses, and their pixels
    get the flag MSA_FAILED_OPEN, also in exposures of the integral-field unit, whose light falls on the
    same detector. The flag alone does not keep a pixel from being used; other arrays stay as they are.

    In a pipeline, references of the optics that are given to `assign_wcs` count here, too; alone the
    step takes its own (`override_msa`, ...).
    """

    alias = "msa_flagging"
    suffix = "msa_flagging"
    status = "msa_flagging"
    input_models = ("ImageModel", "CubeModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type", "meta.instrument.detector")
    reference_types = ("msaoper", *failed_open.REFERENCES)
    references_of = "assign_wcs"

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None of exposures that show no such light."""
        return () if _why_not(meta) else self.reference_types

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Everything is needed."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Other exposures have no light of shutters that failed open, or no spectra of it."""
        del selected
        return _why_not(meta)

    def process(self, exposure: RateModel | IFUImageModel) -> RateModel | IFUImageModel:
        """Add the flag."""
        shutters = failed_open.shutters_of(self.selected["msaoper"])
        meta, shape = exposure.to_flat_dict(), exposure.shape[-2:]
        pixels = failed_open.pixels_of(shutters, meta, self.references)[: shape[0], : shape[1]]
        exposure.dq = exposure.dq | bits_where(pixels, dqflags.MSA_FAILED_OPEN)
        self.log.info(
            "%d shutters failed open; their light falls on %d pixels", len(shutters), pixels.sum()
        )
        return exposure


def _why_not(meta: FlatMetadata) -> str:
    """Why an exposure shows no spectra of shutters; empty when it does."""
    kind = str(meta.get("meta.exposure.type")).upper()
    if kind not in TYPES:
        return f"exposures of type {kind} show no light of shutters"
    mirror = str(meta.get("meta.instrument.grating")).upper() == "MIRROR"
    return "the mirror makes no spectra" if mirror else ""
