"""Decide whether the source of a spectrum is a point or extended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.core.step import Step
from stpipe.science.exposure_types import WFSS, is_time_series
from stpipe.science.spectra.slits import Slits, each_slit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference

__all__ = ["ONE_SOURCE", "SourceTypeStep", "source_type"]

POINT, EXTENDED = "POINT", "EXTENDED"
# One source, of which the proposer says what it is.
ONE_SOURCE = frozenset(
    """MIR_LRS-FIXEDSLIT MIR_LRS-SLITLESS MIR_MRS NRC_TSGRISM NIS_SOSS
    NRS_FIXEDSLIT NRS_BRIGHTOBJ NRS_IFU""".split()  # noqa: SIM905 - quotes around each would hide the list
)
INTEGRAL_FIELD = frozenset({"MIR_MRS", "NRS_IFU"})
STAR = 0.75  # stellarity above which a source of the MSA is a point


class SourceTypeStep(Step):
    """Decide whether the source of a spectrum is a point or extended.

    Later steps correct points and extended sources differently. SRCTYPE becomes `source_type` when it
    is given; EXTENDED for background targets; POINT for time series; what the proposer says
    (SRCTYAPT); POINT for nods; else EXTENDED for integral-field units and POINT for slits. Slits of
    NIRSpec other than the one of the target are EXTENDED. Of the MSA the stellarity decides (POINT
    above 0.75, or unknown), of slitless spectra the catalogue.

    Other exposure types are left as they are.
    """

    alias = "srctype"
    suffix = "srctype"
    status = "srctype"
    refines = True
    input_models = ("ImageModel", "CubeModel", "IFUImageModel", "SlitModel", "MultiSlitModel")
    prerequisites = ("meta.exposure.type",)
    spec = """
        source_type = option('POINT', 'EXTENDED', default=None)  # What it is; None: see above
    """
    source_type: str | None

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Images have no source of this kind."""
        del selected
        kind = str(meta.get("meta.exposure.type")).upper()
        if kind in ONE_SOURCE | WFSS | {"NRS_MSASPEC"} or is_time_series(meta):
            return ""
        return f"exposures of type {kind} have no source type"

    def process(self, exposure: Slits) -> Slits:
        """Set the source type of the exposure, or of each slit."""
        found = {}
        for slit, meta in each_slit(exposure):
            kind = found[str(meta.get("name"))] = source_type(meta, self.source_type)
            if "name" in slit.schema.metadata:
                slit.set("source_type", kind)
                if (meta["meta.exposure.type"], kind) == ("NRS_FIXEDSLIT", EXTENDED):
                    slit.set("source_xpos", 0.0)
                    slit.set("source_ypos", 0.0)
        self._describe(exposure, found)
        return exposure

    def _describe(self, exposure: Slits, found: Mapping[str, str]) -> None:
        """The type of the target: that of its slit, and none of many sources."""
        target = exposure.meta.target
        if target.source_type_apt is None:
            target.source_type_apt = target.source_type
        one = next(iter(found.values())) if len(found) == 1 else None
        target.source_type = found.get(str(exposure.meta.instrument.fixed_slit), one)
        self.log.info(
            "SRCTYPE is %s", ", ".join(f"{kind} ({name})" for name, kind in found.items())
        )


def source_type(meta: FlatMetadata, wanted: str | None = None) -> str:
    """POINT or EXTENDED, from the metadata of an exposure or slit by dotted name.

    `wanted` is what the user says of an exposure with one source.
    """
    kind = str(meta["meta.exposure.type"]).upper()
    if kind == "NRS_MSASPEC":
        return POINT if not 0 <= meta.get("stellarity", -1.0) <= STAR else EXTENDED
    if kind in WFSS:
        return EXTENDED if meta.get("is_extended") else POINT
    slits = (None, meta.get("meta.instrument.fixed_slit"))
    if kind == "NRS_FIXEDSLIT" and meta.get("name") not in slits:
        return EXTENDED
    return wanted or _of_target(meta, kind)


def _of_target(meta: FlatMetadata, kind: str) -> str:
    """What the target is by the plan of the observation."""
    if meta.get("meta.observation.bkgdtarg"):
        return EXTENDED
    if is_time_series(meta):
        return POINT
    asked = meta.get("meta.target.source_type_apt") or meta.get("meta.target.source_type")
    if asked in (POINT, EXTENDED):
        return str(asked)
    pattern = "optimized_for" if kind == "MIR_MRS" else "primary_type"
    dither = str(meta.get(f"meta.dither.{pattern}"))
    if "NOD" in dither or "POINT-SOURCE" in dither:
        return POINT
    return EXTENDED if kind in INTEGRAL_FIELD else POINT
