"""Extract spectra: the light along the slit, above the background."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError
from stpipe.science.dispersion import turned
from stpipe.science.exposure_types import (
    LRS,
    MRS,
    NIRSPEC_SLITS,
    SLICES,
    SLIT,
    SLITLESS,
    has_integrations,
    supported_type,
)
from stpipe.science.spectra.aperture import Aperture, Limits, centre, find_aperture, odd_smoothing
from stpipe.science.spectra.box_extraction import Background, extract
from stpipe.science.spectra.fixed_slits import for_slit, of_fixed_slits, with_fixed_slits
from stpipe.science.spectra.optimal_extraction import fit_profiles
from stpipe.science.spectra.point_spread import Traces, best_traces
from stpipe.science.spectra.slits import Slits, each_slit, has_many, parts_of
from stpipe.science.wcs.wavelengths import wavelengths
from stpipe.steps.stage2.extract_1d.ifu import extract_cube
from stpipe.steps.stage2.extract_1d.ifu_product import (
    columns_of_cube,
    correct_for_aperture,
    is_one_band,
    spectra_of_cube,
)
from stpipe.steps.stage2.extract_1d.images import as_model, residual
from stpipe.steps.stage2.extract_1d.integrations import Way, extracted, first_image
from stpipe.steps.stage2.extract_1d.product import (
    Place,
    Scale,
    Spectrum,
    columns_of,
    source_type,
    spectra_of,
)
from stpipe.steps.stage2.extract_1d.psf_profile import find_spread, nod_distance
from stpipe.steps.stage2.extract_1d.slitless_product import slitless_spectra
from stpipe.steps.stage2.extract_1d.source_position import find_in_slit, find_source, middle_trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from gwcs import WCS

    from stpipe.models import (
        IFUCubeModel,
        MRSMultiSpecModel,
        MultiSpecModel,
        TSOMultiSpecModel,
        WFSSMultiSpecModel,
    )
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

    Spectra: TypeAlias = MultiSpecModel | TSOMultiSpecModel | WFSSMultiSpecModel | MRSMultiSpecModel

__all__ = ["Extract1dStep"]

NIRSPEC = NIRSPEC_SLITS | {"NRS_BRIGHTOBJ"}
SUPPORTED = LRS | SLITLESS | NIRSPEC | SLICES
MANY = NIRSPEC_SLITS | SLITLESS  # whose exposures have many spectra
POINT = "POINT"
BOX = "box"
REFERENCES = ("extract1d", "apcorr", "psf")
PROFILES = {"extract1d", "psf"}  # what the profile of a source is made of


class Extract1dStep(Step):
    """Extract spectra: the light along the slit, above the background.

    The aperture and the regions of the background are those of the EXTRACT1D reference (the whole
    image without one); pixels on their edges count in part. Where the pointing tells the place of a
    point source the aperture is moved there and follows its trace. The background is, pixel by
    pixel along the dispersion, a polynomial or a median across it. For point sources the APCORR
    reference makes up for the light beyond the aperture.

    With `extraction_type=optimal` the profile of a point source, of the PSF reference, is fitted
    instead, at every pixel along the dispersion, with a polynomial as background; `None` does that
    where the aperture follows the source. All pixels count alike, however noisy. The place of the
    profile is fitted to the first integration. After the subtraction of a nod the negative image of
    the source is fitted, too, if it is two pixels or more away. Such spectra need no aperture
    correction and have no surface brightness. Without PSF or EXTRACT1D reference pixels are added up,
    with a warning.

    The table has wavelengths in um, fluxes in Jy, surface brightness and background in MJy/sr, their
    errors and the three variances of each; without photom all are count rates in DN/s. Rows
    without flux are NaN and DO_NOT_USE. Point sources in NIRSpec's slits have no surface brightness:
    it is 0. The spectra of integrations are rows of one table, with their times. Each slit has a
    table; slitless spectra have one for each order, with a row for each source.

    Of a cube (`_s3d`) the light of a point source in a circle is added up, plane by plane, less that
    of a ring around it without voxels beyond `bkg_sigma_clip` standard deviations; EXTRACT1D has the
    radii by wavelength. The middle is `center_xy`, `center_radec`, the brightest star
    (`ifu_autocen`), or the spaxel nearest to the target. Of an extended source all spaxels are
    added up, and nothing is subtracted. Errors take voxels as independent, which those of cubes are
    not: `ifu_covar_scale` makes up for it. Cubes of one band of MIRI's spectrometer have columns
    RF_*, in which residual fringes are taken away (`ifu_rfcorr`); what cannot be fitted stays, with a
    warning. Of other cubes of MIRI they are NaN.

    LRS with and without slit, slits of NIRSpec, cutouts of slitless spectra of NIRISS, and cubes of
    NIRSpec and MIRI; other exposure types are refused. Variances of the background are those of the
    fit with equal weights.
    """

    alias = "extract_1d"
    suffix = "x1d"
    status = "extract_1d"
    input_models = (
        *("ImageModel", "CubeModel", "SlitModel", "MultiSlitModel", "MultiExposureModel"),
        "IFUCubeModel",
    )
    prerequisites = ("meta.exposure.type",)
    optional_reference_types = (*REFERENCES, *of_fixed_slits(REFERENCES))
    outputs = (
        Output("profile", "ImageModel", "profile", when="save_profile"),
        Output("scene", "ImageModel", "scene_model", when="save_scene_model"),
        Output("residual", "ImageModel", "residual", when="save_residual_image"),
    )
    spec = """
        subtract_background = boolean(default=None)  # None: when the reference has regions for it
        apply_apcorr = boolean(default=True)  # Correct point sources for light beyond the aperture
        extraction_type = option('box', 'optimal', None, default='box')  # None: fit sources
        use_source_posn = boolean(default=None)  # Move to the source; None: as the reference says
        position_offset = float(default=0)  # Moves the aperture across the dispersion, pixels
        model_nod_pair = boolean(default=True)  # optimal: fit the negative image that a nod left, too
        optimize_psf_location = boolean(default=True)  # optimal: fit where the source is
        smoothing_length = integer(min=0, default=None)  # Of the background, pixels, odd
        bkg_fit = option('poly', 'mean', 'median', default=None)  # None: as the reference says
        bkg_order = integer(min=0, default=None)  # Of the polynomial; None: as the reference says
        save_profile = boolean(default=False)  # Save the weights of the pixels, too
        save_scene_model = boolean(default=False)  # Save an image of what was found
        save_residual_image = boolean(default=False)  # Save the exposure less that image
        center_xy = float_list(min=2, max=2, default=None)  # Cubes: middle of the aperture, from 0
        center_radec = float_list(min=2, max=2, default=None)  # Cubes: the same on the sky, degrees
        ifu_autocen = boolean(default=False)  # Cubes: find the brightest star
        bkg_sigma_clip = float(min=0, default=3.0)  # Cubes: standard deviations of the background
        ifu_rfcorr = boolean(default=True)  # Cubes of MIRI: take residual fringes away
        ifu_set_srctype = option('POINT', 'EXTENDED', None, default=None)  # Of MIRI: the source type
        ifu_rscale = float(min=0.5, max=3, default=None)  # Cubes of MIRI: radius in FWHM; usual: 2
        ifu_covar_scale = float(min=0, default=1.0)  # Cubes: factor of errors for covariances
    """
    subtract_background: bool | None
    apply_apcorr: bool
    extraction_type: str | None
    use_source_posn: bool | None
    position_offset: float
    model_nod_pair: bool
    optimize_psf_location: bool
    smoothing_length: int | None
    bkg_fit: str | None
    bkg_order: int | None
    save_profile: bool
    save_scene_model: bool
    save_residual_image: bool
    center_xy: list[float] | None
    center_radec: list[float] | None
    ifu_autocen: bool
    bkg_sigma_clip: float
    ifu_rfcorr: bool
    ifu_set_srctype: str | None
    ifu_rscale: float | None
    ifu_covar_scale: float

    def products(self, model_type: str, meta: FlatMetadata) -> tuple[Output, ...]:
        """Images have a spectrum, integrations a table of spectra."""
        usual, model = "x1d", "MultiSpecModel"
        if has_integrations(model_type, meta):
            usual, model = "x1dints", "TSOMultiSpecModel"
        elif _kind(meta) in SLITLESS:
            model = "WFSSMultiSpecModel"
        elif _kind(meta) == MRS:
            model = "MRSMultiSpecModel"
        return (Output("spectra", model, vars(self).get("suffix") or usual),)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what the step cannot extract, also while planning."""
        del selected
        supported_type(self.qualified_name, meta, SUPPORTED)
        return ""

    def side_outputs(self, meta: FlatMetadata) -> tuple[Output, ...]:
        """Images like the exposure: of slits, one spectrum, or integrations, which share a profile."""
        if _kind(meta) in SLICES:  # cubes are not images
            return ()
        asked = super().side_outputs(meta)
        if _kind(meta) in MANY:
            return tuple(replace(output, model="MultiSlitModel") for output in asked)
        if not has_integrations(str(meta.get("meta.model_type")), meta):
            return asked
        return tuple(o if o.name == "profile" else replace(o, model="CubeModel") for o in asked)

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Slitless spectra have no EXTRACT1D reference; modes that are refused have none at all."""
        kind = _kind(meta)
        correction = ("apcorr",) if self.apply_apcorr and kind in SUPPORTED else ()
        if kind in SLICES:
            return ("extract1d", *correction)
        if kind not in LRS | NIRSPEC:
            return correction
        types = ("extract1d", *correction, *(() if self.extraction_type == BOX else ("psf",)))
        return with_fixed_slits(types, meta, self)

    def process(self, exposure: Slits | IFUCubeModel) -> Spectra:
        """Extract the spectrum of each slit, or of a cube, and make the tables."""
        from stpipe.models import IFUCubeModel

        if isinstance(exposure, IFUCubeModel):
            return self._of_cube(exposure)
        if has_many(exposure):
            parts_of(exposure).revive("meta.wcs")
        if self.extraction_type != BOX and not set(self.references) >= PROFILES:
            self.log.warning("There is no PSF or EXTRACT1D reference; pixels are added up instead")
        images: dict[str, dict[str, Floats]] = {}
        found = [self._spectrum(slit, meta, images) for slit, meta in each_slit(exposure)]
        spectra = [spectrum for spectrum in found if spectrum is not None]
        if not spectra:
            raise InputError(
                f"{self.qualified_name}: no pixel of the aperture has a wavelength. Check the "
                "EXTRACT1D reference, or the bounding box of the gwcs."
            )
        for name, of_slits in images.items():
            self.add_product(name, as_model(exposure, of_slits))
        if _kind(exposure.to_flat_dict()) in SLITLESS:
            return slitless_spectra(exposure, spectra)
        return spectra_of(exposure, spectra)

    def _of_cube(self, cube: IFUCubeModel) -> MultiSpecModel | MRSMultiSpecModel:
        """The spectrum of a cube."""
        meta = cube.to_flat_dict()
        found = extract_cube(cube, self, self.references)
        scale = Scale.of(meta, self.qualified_name)
        table = columns_of_cube(found, scale, self.ifu_covar_scale)
        if _kind(meta) == MRS:
            self._add_defringed(table, found.sums.flux, scale, meta)
        if found.radius.size and self.apply_apcorr and "apcorr" in self.references:
            correct_for_aperture(table, self.references["apcorr"], found)
        return spectra_of_cube(cube, found, table, scale)

    def _add_defringed(
        self, table: dict[str, Doubles], flux: Doubles, scale: Scale, meta: FlatMetadata
    ) -> None:
        """Add the columns RF_*; they are NaN of several bands, and if not asked for."""
        from stpipe.science.fringes.single_band import without_fringes

        wanted = self.ifu_rfcorr and is_one_band(meta)
        if self.ifu_rfcorr and not wanted:
            self.log.info("Residual fringes stay: they are taken out of single bands only")
        # In units of the cube: where fits end depends on them.
        columns = {"RF_FLUX": (flux, scale.flux)}
        columns |= {f"RF_{name}": (table[name], 1.0) for name in ("SURF_BRIGHT", "BACKGROUND")}
        for column, (values, factor) in columns.items():
            table[column] = np.full(len(values), np.nan)
            if wanted:
                channel = int(meta["meta.instrument.channel"])
                found = without_fringes(values, table["WAVELENGTH"], channel)
                table[column] = found.values * factor
                report = "%s: fringes of %d kinds taken away, of %d not there, of %d not fitted"
                level = logging.WARNING if found.failed else logging.INFO
                self.log.log(level, report, column, found.found, found.absent, found.failed)

    def _spectrum(
        self, exposure: Spectral, meta: FlatMetadata, images: dict[str, dict[str, Floats]]
    ) -> Spectrum | None:
        """Extract every integration; None without lit pixels. Those asked for go into `images`."""
        direction = meta.get("meta.wcsinfo.dispersion_direction")
        if direction is None or exposure.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no gwcs or no DISPAXIS. Run "
                "assign_wcs."
            )
        wavelength = turned(wavelengths(exposure), direction).astype(np.float64)
        way, limits = self._way(exposure, meta, wavelength)
        waves, rows = mean_wavelengths(wavelength, way.source)
        if not rows.any():
            if "name" in meta:
                self.log.warning("%s: no pixel of the aperture has a wavelength", meta["name"])
            return None
        with_scene = self.save_scene_model or self.save_residual_image
        found = extracted(exposure, way, direction, scene=with_scene)
        for name, image in self._images(exposure, way, found.scene, direction).items():
            images.setdefault(name, {})[_name(meta)] = image
        scale = Scale.of(meta, self.qualified_name)
        if way.is_fit:
            scale = replace(scale, brightness=0.0)
        columns = columns_of(found, scale)
        table = {name: values[..., rows] for name, values in columns.items()}
        place = Place.of(exposure.meta.wcs, turned(way.source, direction), limits, direction)
        spectrum = Spectrum(meta, waves[rows], table, place, scale.units())
        if not way.is_fit:
            self._correct(spectrum, exposure.meta.wcs)
        return spectrum

    def _images(
        self, exposure: Spectral, way: Way, scene: Doubles, direction: int
    ) -> dict[str, Floats]:
        """The side products of a slit that parameters ask for."""
        found: dict[str, Floats] = {}
        if self.save_profile:
            found["profile"] = turned(way.profile, direction).astype(np.float32)
        if self.save_scene_model:
            found["scene"] = turned(scene, direction).astype(np.float32)
        if self.save_residual_image:
            found["residual"] = residual(exposure, scene, direction)
        return found

    def _way(
        self, exposure: Spectral, meta: FlatMetadata, wavelength: Doubles
    ) -> tuple[Way, Limits]:
        """How the spectrum is extracted, and the first and last pixel across that count."""
        aperture = self._aperture(exposure, meta, wavelength)
        if self._fits(aperture, meta):
            profiles = self._profiles(exposure, meta, wavelength, aperture)
            way = Way(fit_profiles, profiles, self._polynomial(aperture, wavelength))
            across = np.flatnonzero(profiles[0].any(axis=0))
            ends = (across[0], across[-1]) if len(across) else (0, wavelength.shape[1] - 1)
            return way, Limits(*map(float, ends))
        weights, limits = aperture.weights(wavelength)
        return Way(extract, weights, self._region(aperture, wavelength)), limits

    # --- the profile ---------------------------------------------------------------------------------

    def _fits(self, aperture: Aperture, meta: FlatMetadata) -> bool:
        """Whether the profile of the source is fitted."""
        there = for_slit(meta, self.references)
        if self.extraction_type == BOX or not set(there) >= PROFILES:
            return False
        return self.extraction_type is not None or self._follows(aperture, meta)

    def _profiles(
        self, exposure: Spectral, meta: FlatMetadata, wavelength: Doubles, aperture: Aperture
    ) -> Doubles:
        """The profile of the source, and that of its image after the subtraction of a nod."""
        direction, wcs = meta["meta.wcsinfo.dispersion_direction"], exposure.meta.wcs
        spread = find_spread(for_slit(meta, self.references)["psf"], _name(meta), direction)
        if aperture.trace is None:
            middle = middle_trace(wcs, direction, len(wavelength))
            traces = Traces(middle + self.position_offset)
        else:
            nod = nod_distance(wcs, meta, aperture.trace) if self.model_nod_pair else None
            traces = Traces(aperture.trace, nod)
        if self.optimize_psf_location:
            image, variances = first_image(exposure, direction)
            found = best_traces(image, variances["rnoise"], wavelength, spread, traces)
            moved = float(np.nanmean(found.trace - traces.trace))
            self.log.info("The source is %.2f pixels off its expected place", moved)
            traces = found
        if traces.nod is not None:
            self.log.info("Its negative image is %.2f pixels below it", traces.nod)
        return traces.profiles(spread, wavelength)

    def _polynomial(self, aperture: Aperture, wavelength: Doubles) -> Background | None:
        """The background that is fitted with a profile: a polynomial, without a region as well."""
        region = self._region(aperture, wavelength)
        if region is None and self.subtract_background:
            order = aperture.bkg_order if self.bkg_order is None else self.bkg_order
            order = 0 if self.bkg_fit == "mean" else order
            return Background(np.zeros(wavelength.shape), bkg_order=order)
        return region

    # --- the aperture --------------------------------------------------------------------------------

    def _aperture(self, exposure: Spectral, meta: FlatMetadata, wavelength: Doubles) -> Aperture:
        """The aperture of the reference, as parameters change it, at the place of the source."""
        reference = for_slit(meta, self.selected).get("extract1d")
        path = reference.path if reference else None
        if path is None:
            return Aperture.whole(wavelength.shape).shifted(self.position_offset)
        order = meta.get("meta.wcsinfo.spectral_order") or 1
        direction = meta["meta.wcsinfo.dispersion_direction"]
        aperture = find_aperture(path, _name(meta), order, wavelength.shape, direction)
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


def _name(meta: FlatMetadata) -> str:
    """The name of a slit; of the mode where there is one slit."""
    return str(meta.get("name") or meta["meta.exposure.type"])


def mean_wavelengths(wavelength: Doubles, weights: Doubles) -> tuple[Doubles, Booleans]:
    """Mean wavelength in the aperture at each pixel along the dispersion, and where there is one."""
    total = weights.sum(axis=1)
    sums = (np.nan_to_num(wavelength) * weights).sum(axis=1)
    found = np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)
    return found, np.isfinite(found)
