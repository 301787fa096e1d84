"""Correct spectra for light that does not pass the aperture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import InputError, Skip
from stpipe.science.exposure_types import NIRSPEC_SLITS, SLIT
from stpipe.science.flux import convert
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.spectra.fixed_slits import as_fixed, for_slit, of_fixed_slits, with_fixed_slits
from stpipe.science.spectra.path_loss import at_wheel_position, axis_of
from stpipe.science.spectra.slits import Slits, each_slit, has_many
from stpipe.science.wcs.wavelengths import wavelengths
from stpipe.steps.stage2.pathloss import lrs, nirspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import MultiSlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["PathLossStep"]

SOSS = "NIS_SOSS"
SLICES = "NRS_IFU"
LOSING = NIRSPEC_SLITS | SLIT | {SLICES, SOSS}
POINT, UNIFORM = "POINT", "UNIFORM"
PWCPOS = "meta.instrument.pupil_position"


class PathLossStep(Step):
    """Correct spectra for light that does not pass the aperture.

    Of NIRSpec: values are divided by the part that passes at the wavelength of a pixel: of a point
    source by its place in the slit, of an extended one by that of uniform light. Both are attached,
    `pathloss_point` and `pathloss_uniform`, and PTHLOSS says which one was taken. Fixed slits have
    the aperture of their name; slitlets that of one or three shutters, by the open ones beside the
    source. Uniform light through two shutters is the mean of both. A source of the integral-field
    unit is taken to be in its centre. Pixels with wavelengths that the reference does not have are
    DO_NOT_USE.

    Of MIRI's slit: point sources are multiplied by the factor for their place, which follows from
    the target's position, moved by `user_slit_loc` across the slit; beyond the places that the
    reference has, by that of the centre.

    Of NIRISS' cross-dispersed spectra: values are divided by what the subarray holds of them, by
    column and PWCPOS. Time series are left as they are.

    Errors and variances follow. With `inverse` the correction is undone.
    """

    alias = "pathloss"
    suffix = "pathloss"
    status = "pathloss"
    input_models = ("ImageModel", "CubeModel", "IFUImageModel", "SlitModel", "MultiSlitModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("pathloss",)
    optional_reference_types = of_fixed_slits(reference_types)
    spec = """
        inverse = boolean(default=False)  # Undo the correction
        source_type = option('POINT', 'EXTENDED', default=None)  # For all sources; None: SRCTYPE
        user_slit_loc = float(default=None)  # Added to the place across MIRI's slit, arcsec
    """
    inverse: bool
    source_type: str | None
    user_slit_loc: float | None

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None of exposures that lose no light."""
        if _kind(meta) not in LOSING:
            return ()
        return with_fixed_slits(self.reference_types, meta, self)

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without a reference it is not known what is lost."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Light is lost in slits, and in the subarray of cross-dispersed spectra."""
        del selected
        kind = _kind(meta)
        if kind not in LOSING:
            return f"exposures of type {kind} lose no light that a reference knows"
        if kind == SOSS and meta.get("meta.visit.tsovisit"):
            return "time series are not corrected"
        if kind == SOSS and (self.inverse or self.source_type):
            return "of cross-dispersed spectra neither inverse nor source_type is known"
        return ""

    def process(self, exposure: Slits) -> Slits:
        """Correct values, errors, variances and flags."""
        kind = _kind(meta := exposure.to_flat_dict())
        if has_many(exposure):
            self._correct_slits(exposure)
        elif kind in NIRSPEC_SLITS:
            raise InputError(
                f"{self.qualified_name}: {exposure.meta.filename} is the exposure of all slits, which "
                "are corrected one by one. Run extract_2d."
            )
        elif kind == SLICES:
            self._correct_slices(exposure, meta)
        elif kind in SLIT:
            self._correct_lrs(exposure, meta)
        else:
            self._correct_soss(exposure, meta)
        return exposure

    def _correct_slits(self, exposure: MultiSlitModel) -> None:
        corrected = [self._correct_slit(*each) for each in each_slit(exposure)]
        if not any(corrected):
            raise Skip("the pathloss reference has no aperture for any of the slits")

    def _correct_slit(self, slit: Spectral, described: FlatMetadata) -> bool:
        """Correct one slit; false where the reference does not say by how much."""
        meta, references = as_fixed(described), for_slit(described, self.references)
        apertures = references["pathloss"].apertures if "pathloss" in references else []
        passing = nirspec.through_slit(slit, meta, apertures)
        kind = self.source_type or meta.get("source_type")
        applied = None if passing is None else passing.of(kind)
        if passing is None or applied is None:
            what = "aperture" if passing is None else "place of its source"
            self.log.warning("Slit %s is not corrected: no %s in the reference", meta["name"], what)
            return False
        self._divide(slit, applied)
        slit.pathloss_point, slit.pathloss_uniform = passing.point, passing.uniform
        slit.set("pathloss_correction_type", POINT if kind == POINT else UNIFORM)
        return True

    def _correct_slices(self, image: Spectral, meta: FlatMetadata) -> None:
        passing = nirspec.through_slices(image, self.references["pathloss"].apertures)
        kind = self.source_type or meta.get("meta.target.source_type")
        applied = passing.of(kind)
        if applied is None:
            raise Skip("the pathloss reference has no place in the centre of its aperture")
        self.log.info("Corrected as %s", POINT if kind == POINT else "uniform")
        self._divide(image, applied)
        image.pathloss_point, image.pathloss_uniform = passing.point, passing.uniform

    def _correct_lrs(self, image: Spectral, meta: FlatMetadata) -> None:
        if (self.source_type or meta.get("meta.target.source_type")) != POINT:
            raise Skip("the source is not a point")
        if image.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {image.meta.filename} has no gwcs. Run assign_wcs."
            )
        place = lrs.place_in_slit(image.meta.wcs, meta, self.user_slit_loc or 0.0)
        waves = wavelengths(image)
        factors, within = lrs.correction(self.references["pathloss"], place, waves)
        self.log.info("The source is at (%.3f, %.3f) pixels from the centre of the slit", *place)
        if not within:
            self.log.warning("The reference does not reach there: corrected as in the centre")
        values = convert(values_of(image), factors, inverse=self.inverse)
        assign(image, values, image.dq)
        image.pathloss_point, image.wavelength = factors, waves

    def _correct_soss(self, image: Spectral, meta: FlatMetadata) -> None:
        position, subarray = meta.get(PWCPOS), meta.get("meta.subarray.name")
        if position is None:
            raise InputError(
                f"{self.qualified_name}: {image.meta.filename}: PWCPOS is not set; the correction "
                "depends on the position of the pupil wheel. Set the keyword."
            )
        apertures = self.references["pathloss"].apertures
        aperture = next((each for each in apertures if each.name == subarray), None)
        if aperture is None:
            raise Skip(f"the pathloss reference has no aperture for the subarray {subarray}")
        axes = axis_of(aperture.pointsource_wcs, 1), axis_of(aperture.pointsource_wcs, 2)
        passing = at_wheel_position(aperture.pointsource_data[0], axes, position, image.shape[-1])
        if passing is None:
            raise Skip(f"the pathloss reference does not reach PWCPOS = {position}")
        image.pathloss_point = np.broadcast_to(passing, image.shape[-2:])
        self._divide(image, image.pathloss_point)

    def _divide(self, spectrum: Spectral, by: Floats) -> None:
        """Divide by what passes; multiply to undo that."""
        values = convert(values_of(spectrum), by, inverse=not self.inverse)
        assign(spectrum, values, spectrum.dq)


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
