"""Correct wavelengths of point sources that are not in the middle of their slit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Skip, Step
from stpipe.errors import InputError
from stpipe.science.exposure_types import NARROW_SLITS
from stpipe.science.spectra.fixed_slits import (
    SHUTTERS,
    as_fixed,
    for_slit,
    of_fixed_slits,
    with_fixed_slits,
)
from stpipe.science.spectra.slits import Slits, each_slit, has_many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["WavecorrStep"]

ALL = "MOS"  # the aperture of all shutters


class WavecorrStep(Step):
    """Correct wavelengths of point sources that are not in the middle of their slit.

    Light of a source beside the middle of the slit's width falls beside that of the middle. By how
    many pixels the WAVECORR reference tells, by wavelength and place of the source. The gwcs of the
    slit has corrected wavelengths from its frame `wavecorr_frame` on, and `wavelength` (um) has them;
    WAVECOR says of every slit whether it was corrected. Extended sources are not.

    Fixed slits, shutters and the bright object of NIRSpec, after srctype; other exposures are left as
    they are.
    """

    alias = "wavecorr"
    suffix = "wavecorr"
    status = "wavecorr"
    input_models = ("MultiSlitModel", "SlitModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("wavecorr",)
    optional_reference_types = of_fixed_slits(reference_types)

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None of exposures that are not corrected."""
        if _kind(meta) not in NARROW_SLITS:
            return ()
        return with_fixed_slits(self.reference_types, meta, self)

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """What is not corrected needs no reference."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only point sources of slits that are narrow."""
        del selected
        if _kind(meta) not in NARROW_SLITS:
            return f"exposures of type {_kind(meta)} have no wavelengths to correct"
        return ""

    def process(self, exposure: Slits) -> Slits:
        """Correct each slit with a point source."""
        if has_many(exposure):
            exposure.slits.revive("meta.wcs")
        points, corrected = 0, []
        for slit, described in each_slit(exposure):
            meta, references = as_fixed(described), for_slit(described, self.references)
            known = references.get("wavecorr")
            apertures = [] if known is None else known.apertures
            offsets = {each["aperture_name"]: each["zero_point_offset"] for each in apertures}
            point = _source_type(meta) == "POINT"
            done = point and self._correct(slit, meta, offsets)
            slit.set("wavelength_corrected", done)
            points += point
            corrected += [str(meta.get("name"))] if done else []
        if not points:
            raise Skip("no slit has a point source")
        if not corrected:
            raise Skip(f"the wavelengths of none of {points} point sources can be corrected")
        self.log.info("Corrected: %s", ", ".join(corrected))
        return exposure

    def _correct(self, slit: Spectral, meta: FlatMetadata, offsets: Mapping[str, Model]) -> bool:
        """Correct the wavelengths of a slit; whether that was possible."""
        from stpipe.science.wcs.nirspec import zero_point

        if slit.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no gwcs of its slits. Run "
                "assign_wcs and extract_2d."
            )
        name = _aperture(meta)
        if name not in offsets:
            self.log.warning("%s: the wavecorr reference has no aperture %s", meta["name"], name)
            return False
        found = zero_point.corrected(slit.meta.wcs, offsets[name], float(meta["source_xpos"]))
        if found is None:
            self.log.warning("%s: corrected wavelengths would not increase", meta["name"])
            return False
        slit.meta.wcs, wavelengths = found
        slit.wavelength = wavelengths.astype(np.float32)
        return True


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()


def _source_type(meta: FlatMetadata) -> str:
    """POINT or EXTENDED, of the slit, or else of the target."""
    return str(meta.get("source_type") or meta.get("meta.target.source_type")).upper()


def _aperture(meta: FlatMetadata) -> str:
    """The name of a fixed slit, or the one that all shutters have."""
    return ALL if _kind(meta) == SHUTTERS else str(meta.get("name"))
