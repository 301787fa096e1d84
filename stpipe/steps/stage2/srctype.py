"""Decide whether the source of a spectrum is a point or extended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.core.step import Step
from stpipe.science.exposure_types import WFSS, is_time_series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.wcs.wavelengths import Spectral

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
    input_models = ("ImageModel", "CubeModel", "SlitModel")
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

    def process(self, exposure: Spectral) -> Spectral:
        """Set the source type of the exposure, or of the slit."""
        meta = exposure.to_flat_dict()
        found = source_type(meta, self.source_type)
        if type(exposure).__name__ == "SlitModel":
            exposure.source_type = found
            if (meta["meta.exposure.type"], found) == ("NRS_FIXEDSLIT", EXTENDED):
                exposure.source_xpos = exposure.source_ypos = 0.0
        if meta.get("meta.target.source_type_apt") is None:
            exposure.meta.target.source_type_apt = meta.get("meta.target.source_type")
        exposure.meta.target.source_type = found
        self.log.info("SRCTYPE is %s", found)
        return exposure


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
