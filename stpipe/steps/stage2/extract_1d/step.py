"""Extract spectra: add up the light along the slit, above the background."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError
from stpipe.science.dispersion import HORIZONTAL, turned
from stpipe.science.exposure_types import (
    LRS,
    NIRSPEC_SLITS,
    SLIT,
    SLITLESS,
    has_integrations,
    supported_type,
)
from stpipe.science.invalid_pixels import VALUES, match_invalid
from stpipe.science.spectra.aperture import Aperture, centre, find_aperture, odd_smoothing
from stpipe.science.spectra.box_extraction import Background, Extraction, extract
from stpipe.science.spectra.fixed_slits import for_slit, of_fixed_slits, with_fixed_slits
from stpipe.science.spectra.slits import Slits, each_slit, has_many
from stpipe.science.wcs.wavelengths import wavelengths
from stpipe.steps.stage2.extract_1d.product import (
    Place,
    Scale,
    Spectrum,
    columns_of,
    source_type,
    spectra_of,
)
from stpipe.steps.stage2.extract_1d.slitless_product import slitless_spectra
from stpipe.steps.stage2.extract_1d.source_position import find_in_slit, find_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gwcs import WCS

    from stpipe.models import (
        ImageModel,
        MultiSpecModel,
        TSOMultiSpecModel,
        WFSSMultiSpecModel,
    )
    from stpipe.models.protocols import FlatMetadata, Section
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Doubles
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["Extract1dStep"]

BLOCK = 1 << 20  # pixels that are extracted at a time
NOISES = {"poisson": "var_poisson", "rnoise": "var_rnoise", "flat": "var_flat"}
NIRSPEC = NIRSPEC_SLITS | {"NRS_BRIGHTOBJ"}
SUPPORTED = LRS | SLITLESS | NIRSPEC
POINT = "POINT"


class Extract1dStep(Step):
    """Extract spectra: add up the light along the slit, above the background.

    The aperture and the regions of the background are those of the EXTRACT1D reference (the whole
    image without one); pixels on their edges count in part. Where the pointing tells the place of a
    point source the aperture is moved there and follows its trace. The background is, pixel by
    pixel along the dispersion, a polynomial or a median across it. For point sources the APCORR
    reference makes up for the light beyond the aperture.

    The table has wavelengths in um, fluxes in Jy, surface brightness and background in MJy/sr, their
    errors and the three variances of each; without photom all are count rates in DN/s. Rows
    without flux are NaN and DO_NOT_USE. Point sources in NIRSpec's slits have no surface brightness:
    it is 0. The spectra of integrations are rows of one table, with their times. Each slit has a
    table; slitless spectra have one for each order, with a row for each source.

    LRS with and without slit, slits of NIRSpec, and cutouts of slitless spectra of NIRISS; other
    exposure types are refused. Variances of the background are those of the fit with equal weights.
    """

    alias = "extract_1d"
    suffix = "x1d"
    status = "extract_1d"
    input_models = ("ImageModel", "CubeModel", "SlitModel", "MultiSlitModel")
    prerequisites = ("meta.exposure.type",)
    optional_reference_types = ("extract1d", "apcorr", *of_fixed_slits(("extract1d", "apcorr")))
    outputs = (Output("profile", "ImageModel", "profile", when="save_profile"),)
    spec = """
        subtract_background = boolean(default=None)  # None: when the reference has regions for it
        apply_apcorr = boolean(default=True)  # Correct point sources for light beyond the aperture
        use_source_posn = boolean(default=None)  # Move to the source; None: as the reference says
        position_offset = float(default=0)  # Moves the aperture across the dispersion, pixels
        smoothing_length = integer(min=0, default=None)  # Of the background, pixels, odd
        bkg_fit = option('poly', 'mean', 'median', default=None)  # None: as the reference says
        bkg_order = integer(min=0, default=None)  # Of the polynomial; None: as the reference says
        save_profile = boolean(default=False)  # Save the weights of the pixels, too
    """
    subtract_background: bool | None
    apply_apcorr: bool
    use_source_posn: bool | None
    position_offset: float
    smoothing_length: int | None
    bkg_fit: str | None
    bkg_order: int | None
    save_profile: bool

    def products(self, model_type: str, meta: FlatMetadata) -> tuple[Output, ...]:
        """Images have a spectrum, integrations a table of spectra."""
        usual, model = "x1d", "MultiSpecModel"
        if has_integrations(model_type, meta):
            usual, model = "x1dints", "TSOMultiSpecModel"
        elif _kind(meta) in SLITLESS:
            model = "WFSSMultiSpecModel"
        return (Output("spectra", model, vars(self).get("suffix") or usual),)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what the step cannot extract, also while planning."""
        del selected
        supported_type(self.qualified_name, meta, SUPPORTED)
        return ""

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Slitless spectra have no EXTRACT1D reference; modes that are refused have none at all."""
        kind = _kind(meta)
        correction = ("apcorr",) if self.apply_apcorr and kind in SUPPORTED else ()
        types = ("extract1d", *correction) if kind in LRS | NIRSPEC else correction
        return with_fixed_slits(types, meta, self)

    def process(self, exposure: Slits) -> MultiSpecModel | TSOMultiSpecModel | WFSSMultiSpecModel:
        """Extract the spectrum of each slit, and make the tables."""
        if has_many(exposure):
            exposure.slits.revive("meta.wcs")
        found = [self._spectrum(slit, meta) for slit, meta in each_slit(exposure)]
        spectra = [spectrum for spectrum in found if spectrum is not None]
        if not spectra:
            raise InputError(
                f"{self.qualified_name}: no pixel of the aperture has a wavelength. Check the "
                "EXTRACT1D reference, or the bounding box of the gwcs."
            )
        if _kind(exposure.to_flat_dict()) in SLITLESS:
            return slitless_spectra(exposure, spectra)
        return spectra_of(exposure, spectra)

    def _spectrum(self, exposure: Spectral, meta: FlatMetadata) -> Spectrum | None:
        """Find the aperture and extract every integration; None without lit pixels."""
        direction = meta.get("meta.wcsinfo.dispersion_direction")
        if direction is None or exposure.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no gwcs or no DISPAXIS. Run "
                "assign_wcs."
            )
        wavelength = turned(wavelengths(exposure), direction).astype(np.float64)
        aperture = self._aperture(exposure, meta, wavelength)
        weights, limits = aperture.weights(wavelength)
        waves, rows = mean_wavelengths(wavelength, weights)
        if not rows.any():
            if "name" in meta:
                self.log.warning("%s: no pixel of the aperture has a wavelength", meta["name"])
            return None
        if self.save_profile:
            self.add_product("profile", _profile(exposure, turned(weights, direction)))
        found = _extracted(exposure, weights, self._region(aperture, wavelength), direction)
        scale = Scale.of(meta, self.qualified_name)
        columns = columns_of(found, scale)
        table = {name: values[..., rows] for name, values in columns.items()}
        place = Place.of(exposure.meta.wcs, turned(weights, direction), limits, direction)
        spectrum = Spectrum(meta, waves[rows], table, place, scale.units())
        self._correct(spectrum, exposure.meta.wcs)
        return spectrum

    # --- the aperture --------------------------------------------------------------------------------

    def _aperture(self, exposure: Spectral, meta: FlatMetadata, wavelength: Doubles) -> Aperture:
        """The aperture of the reference, as parameters change it, at the place of the source."""
        reference = for_slit(meta, self.selected).get("extract1d")
        path = reference.path if reference else None
        name = meta.get("name") or meta["meta.exposure.type"]
        if path is None:
            return Aperture.whole(wavelength.shape).shifted(self.position_offset)
        order = meta.get("meta.wcsinfo.spectral_order") or 1
        direction = meta["meta.wcsinfo.dispersion_direction"]
        aperture = find_aperture(path, name, order, wavelength.shape, direction)
        if aperture is None:
            raise InputError(f"{self.qualified_name}: {path} has no aperture for order {order}.")
        if self._follows(aperture, meta):
            aperture = self._at_source(aperture, exposure, meta, wavelength)
        return aperture.shifted(self.position_offset)

    def _follows(self, aperture: Aperture, meta: FlatMetadata) -> bool:
        """Whether the aperture is moved to the source: parameter, reference, then what is usual."""
        if self.use_source_posn is not None:
            return self.use_source_posn
        if source_type(meta) != POINT:
            return False
        usual = _kind(meta) in SLIT | NIRSPEC
        return usual if aperture.use_source_posn is None else aperture.use_source_posn

    def _at_source(
        self, aperture: Aperture, exposure: Spectral, meta: FlatMetadata, wavelength: Doubles
    ) -> Aperture:
        source = None
        if _kind(meta) in SLIT:
            source = find_source(exposure.meta.wcs, meta, len(wavelength))
        elif _kind(meta) in NIRSPEC:
            source = find_in_slit(exposure.meta.wcs, meta, len(wavelength))
        if source is None:
            self.log.warning("The place of the source is not known; the aperture stays where it is")
            return aperture
        nominal, _ = aperture.weights(wavelength)
        _, middle = centre(nominal, source.along)
        self.log.info("The source is %.2f pixels off the aperture", source.across - middle)
        return replace(aperture.shifted(source.across - middle), trace=source.trace)

    def _region(self, aperture: Aperture, wavelength: Doubles) -> Background | None:
        """The background, as parameters change it."""
        if self.subtract_background is False:
            return None
        fit, order = self.bkg_fit or aperture.bkg_fit, self.bkg_order
        given = {
            "bkg_fit": "poly" if fit == "mean" else fit,
            "bkg_order": 0 if self.bkg_fit == "mean" else order,
            "smoothing_length": self.smoothing_length and odd_smoothing(self.smoothing_length),
        }
        changes: dict[str, Any] = {n: value for n, value in given.items() if value is not None}
        return replace(aperture, **changes).region(wavelength)

    def _correct(self, spectrum: Spectrum, wcs: WCS) -> None:
        """Correct flux and surface brightness of a point source for the light that is not in it."""
        point = source_type(spectrum.meta) == POINT
        references = for_slit(spectrum.meta, self.references)
        if not (self.apply_apcorr and point and "apcorr" in references):
            return
        table, place = spectrum.table, spectrum.place
        from stpipe.steps.stage2.extract_1d.aperture_correction import (
            aperture_correction,
            beyond_table,
            find_entry,
        )

        reference = references["apcorr"]
        entry = find_entry(reference, spectrum.meta)
        waves = np.broadcast_to(spectrum.wavelength, table["NPIXELS"].shape)
        size = table["NPIXELS"]
        if str(reference.sizeunit).startswith("arcsec"):
            size = size * self._width_of_pixel(wcs, place, float(spectrum.wavelength.min()))
        factor = aperture_correction(entry, size, waves)
        if beyond := int(np.count_nonzero(beyond_table(entry, waves))):
            self.log.warning(
                "The apcorr reference does not have the wavelengths of %d values", beyond
            )
        for name in [n for n in table if n.startswith(("FLUX", "SURF", "SB"))]:
            table[name] = table[name] * (factor**2 if "_VAR_" in name else factor)

    def _width_of_pixel(self, wcs: WCS, place: Place, wavelength: float) -> float:
        """Arcsec across the dispersion, in the middle of the aperture."""
        from stpipe.science.mosaics.slit_grid import slit_scale

        if place.ra is None or place.dec is None:
            raise InputError(
                f"{self.qualified_name}: the apcorr reference has sizes in arcsec, and the place of "
                "the aperture on the sky is not known. Give one in pixels, or apply_apcorr=False."
            )
        return 3600 * slit_scale(wcs, place.direction, (place.ra, place.dec, wavelength))


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()


def mean_wavelengths(wavelength: Doubles, weights: Doubles) -> tuple[Doubles, Booleans]:
    """Mean wavelength in the aperture at each pixel along the dispersion, and where there is one."""
    total = weights.sum(axis=1)
    sums = (np.nan_to_num(wavelength) * weights).sum(axis=1)
    found = np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)
    return found, np.isfinite(found)


def _extracted(
    exposure: Spectral, weights: Doubles, background: Background | None, direction: int
) -> Extraction:
    """Extract all integrations, a few at a time, from the pixels that count alone."""
    used = weights != 0 if background is None else (weights != 0) | (background.region != 0)
    across = np.flatnonzero(used.any(axis=0))
    span = slice(across[0], across[-1] + 1) if len(across) else slice(0, 1)
    if background is not None:
        background = replace(background, region=background.region[:, span])
    parts = [
        extract(image, variances, weights[:, span], background)
        for image, variances in _blocks(exposure, span, direction, len(weights))
    ]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Extraction]) -> Extraction:
    def every(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], dict):
            return {noise: np.concatenate([v[noise] for v in values]) for noise in values[0]}
        return np.concatenate(values)

    names = ("flux", "variance", "background", "background_variance", "npixels")
    return Extraction(**{name: every(name) for name in names})


def _blocks(
    exposure: Spectral, span: slice, direction: int, length: int
) -> Iterator[tuple[Doubles, dict[str, Doubles]]]:
    """Images and their variances (..., along, across), some integrations at a time."""
    strip = turned_section(span, direction)
    if len(exposure.shape) == 2:  # noqa: PLR2004 - one image
        yield _values(exposure, strip, direction)
        return
    step = max(1, BLOCK // (length * (span.stop - span.start)))
    for first in range(0, exposure.shape[0], step):
        yield _values(exposure, (slice(first, first + step), *strip), direction)


def turned_section(span: slice, direction: int) -> tuple[slice, slice]:
    """A section of an image that is all along the dispersion and `span` across it."""
    return (span, slice(None)) if direction == HORIZONTAL else (slice(None), span)


def _values(
    exposure: Spectral, section: Section, direction: int
) -> tuple[Doubles, dict[str, Doubles]]:
    read = {n: exposure.read(n, section) for n in VALUES if exposure.has(n)}
    values, _ = match_invalid(read, exposure.read("dq", section))
    image = turned(values["data"], direction).astype(np.float64)
    none = np.zeros(image.shape)
    return image, {
        noise: turned(values[name], direction).astype(np.float64) if name in values else none
        for noise, name in NOISES.items()
    }


def _profile(exposure: Spectral, weights: Doubles) -> ImageModel:
    from stpipe import models

    profile = models.ImageModel(weights.astype(np.float32))
    profile.update(exposure)
    return profile
