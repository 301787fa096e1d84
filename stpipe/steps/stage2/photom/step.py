"""Convert count rates to surface brightness, or to fluxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where
from stpipe.science.exposure_types import WFSS, has_integrations
from stpipe.science.flux import ARCSEC2, convert, dispersion, relative_response, time_correction
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.spectra.fixed_slits import as_fixed, for_slit, of_fixed_slits, with_fixed_slits
from stpipe.science.spectra.slits import Slits, each_slit, has_many
from stpipe.science.wcs.wavelengths import wavelengths
from stpipe.steps.stage2.photom import mrs, nirspec
from stpipe.steps.stage2.photom.entries import coefficients_of, described, find_row, unit_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["PhotomStep"]

MICROJANSKY = 23.50443  # uJy/arcsec2 of 1 MJy/sr
BRIGHTNESS, FLUX = "MJy/sr", "MJy"


class Entry(NamedTuple):
    """A row of the reference, and what 1 DN/s is with the sensitivity of the exposure."""

    row: np.void
    conversion: float
    loss: float  # of sensitivity: what `conversion` was divided by
    unit: str


class PhotomStep(Step):
    """Convert count rates to surface brightness in MJy/sr, or of point sources of NIRSpec to MJy.

    The factor is that of the PHOTOM reference for filter and pupil (MIRI: filter and subarray; FGS
    has one; slitless spectra: order; NIRSpec: filter, grating and slit), corrected for the loss of
    sensitivity since the reference's epoch. For spectra it varies with the wavelength, and for
    slitless ones with the dispersion; pixels without one get 0 and are DO_NOT_USE. Errors and
    variances follow. The relative area of the pixels of an AREA reference is attached to images; data
    are not multiplied by it. NIRSpec has a pixel area for each slit, shutter and slice: extended
    sources are divided by it, as are all slices.

    Of MIRI's MRS the reference has a conversion for each pixel, and the loss of sensitivity differs by
    wavelength; pixels without a conversion are DO_NOT_USE.

    The product is `_cal`, and `_calints` for integrations. Without an entry for the exposure the
    step is skipped; slits without one are DO_NOT_USE.
    """

    alias = "photom"
    suffix = "cal"
    status = "photom"
    input_models = ("ImageModel", "CubeModel", "IFUImageModel", "SlitModel", "MultiSlitModel")
    prerequisites = ("meta.instrument.name",)
    uses = ("meta.exposure.mid_time",)
    reference_types = ("photom",)
    optional_reference_types = ("area", *of_fixed_slits(("photom", "area")))
    spec = """
        inverse = boolean(default=False)  # From surface brightness back to count rates
        source_type = option('POINT', 'EXTENDED', default=None)  # Of NIRSpec's slits; None: SRCTYPE
        apply_time_correction = boolean(default=True)  # Correct for the loss of sensitivity
    """
    inverse: bool
    source_type: str | None
    apply_time_correction: bool

    def products(self, model_type: str, meta: FlatMetadata) -> tuple[Output, ...]:
        """Images become `_cal`, integrations `_calints`."""
        usual = "calints" if has_integrations(model_type, meta) else "cal"
        return (Output("product", model_type, vars(self).get("suffix") or usual),)

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Those of fixed slits only where there are some among shutters."""
        return with_fixed_slits(("photom", "area"), meta, self)

    def process(self, exposure: Slits) -> Slits:
        """Convert values, errors and variances, and note the conversion."""
        meta = exposure.to_flat_dict()
        if mrs.is_mrs(meta) and not has_many(exposure):
            self._calibrate_pixels(exposure, meta)
            return exposure
        known = [self._calibrate(slit, meta) for slit, meta in each_slit(exposure)]
        if not any(known):
            raise Skip(f"the photom reference has no entry for {described(meta)}")
        return exposure

    def _calibrate(self, image: Spectral, own: FlatMetadata) -> bool:
        """Convert one spectrum or image; False without an entry in the reference."""
        meta, references = as_fixed(own), for_slit(own, self.references)
        photom = references.get("photom")
        row = None if photom is None else find_row(photom.phot_table, meta)
        if photom is None or row is None:
            if meta.get("name") is not None:
                self.log.warning("No entry for %s; the spectrum is not used", described(meta))
                assign(image, values_of(image), image.dq | np.uint32(dqflags.DO_NOT_USE))
            return False
        laws = coefficients_of(photom, row) if self.apply_time_correction else {}
        loss = time_correction(laws, meta)
        self._describe_area(image, meta, references)
        entry = self._entry(photom.phot_table[row], image, meta, loss)
        self._convert(image, meta, entry)
        self._describe_conversion(image, entry.conversion, entry.unit)
        return True

    def _calibrate_pixels(self, image: Spectral, meta: FlatMetadata) -> None:
        """Convert an exposure whose reference has a conversion for each pixel."""
        photom = self.references["photom"]
        dq = image.dq | mrs.flags(image, photom)
        conversion = photom.data.astype(np.float64)
        if self.apply_time_correction:
            conversion = conversion / mrs.losses(image, photom, meta)
        values = convert(values_of(image), conversion, inverse=self.inverse)
        assign(image, values, dq)
        self._describe_area(image, meta, self.references)
        self._describe_conversion(image, photom.meta.photometry.conversion_megajanskys, BRIGHTNESS)

    def _describe_conversion(self, image: Spectral, conversion: float | None, unit: str) -> None:
        """Note the conversion and the unit that the values now have."""
        if conversion is not None:
            image.meta.photometry.conversion_megajanskys = conversion
            image.meta.photometry.conversion_microjanskys = conversion * MICROJANSKY
        image.meta.bunit_data = image.meta.bunit_err = "DN/s" if self.inverse else unit

    def _entry(self, row: np.void, image: Spectral, meta: FlatMetadata, loss: float) -> Entry:
        """The conversion of one row, per sr but for point sources in slits."""
        if "photmjsr" in (row.dtype.names or ()):
            return Entry(row, float(row["photmjsr"]) / loss, loss, BRIGHTNESS)
        flux = float(row["photmj"]) / loss
        if nirspec.is_point(meta, self.source_type):
            return Entry(row, flux, loss, FLUX)
        area = image.meta.photometry.pixelarea_steradians
        return Entry(row, flux / area, loss, BRIGHTNESS)

    def _convert(self, image: Spectral, meta: FlatMetadata, entry: Entry) -> None:
        """Multiply by the conversion of each pixel."""
        conversion: float | Doubles = entry.conversion
        dq = image.dq
        if nirspec.has_slices(meta):
            area = self.references["area"].area_table
            conversion, outside = nirspec.slices_conversion(image, entry.row, entry.loss, area)
            dq = dq | bits_where(outside, dqflags.NON_SCIENCE)
        elif "wavelength" in (entry.row.dtype.names or ()):
            unit = unit_of(self.references["photom"], meta)
            response = self._response(wavelengths(image), meta, entry)
            dq = dq | bits_where(np.isnan(response), dqflags.DO_NOT_USE)
            conversion = entry.conversion * unit * np.nan_to_num(response)
            if nirspec.has_both(meta) and entry.unit == FLUX:
                nirspec.attach_both(image, conversion, entry.row)
        values = convert(values_of(image), conversion, inverse=self.inverse)
        assign(image, values, dq)

    def _response(self, waves: Floats | Doubles, meta: FlatMetadata, entry: Entry) -> Doubles:
        """The relative conversion of each pixel, NaN where it is not known."""
        response = relative_response(waves, entry.row)
        if meta["meta.exposure.type"] in WFSS:
            response = response / dispersion(waves, meta["meta.wcsinfo.dispersion_direction"])
        return response

    def _describe_area(
        self, image: Spectral, meta: FlatMetadata, references: Mapping[str, CutReference]
    ) -> None:
        """Note the nominal area of a pixel, and attach the relative areas."""
        area = references.get("area")
        if str(meta.get("meta.instrument.name")).upper() == "NIRSPEC":
            steradians = nirspec.pixel_area(area, meta, self.qualified_name)
            image.meta.photometry.pixelarea_steradians = steradians
            image.meta.photometry.pixelarea_arcsecsq = steradians / ARCSEC2
            return
        if area is not None and type(image).__name__ in ("ImageModel", "CubeModel"):
            image.area = area.data
        source = references["photom"] if area is None else area
        for name in ("pixelarea_steradians", "pixelarea_arcsecsq"):
            image.set(f"meta.photometry.{name}", getattr(source.meta.photometry, name))
