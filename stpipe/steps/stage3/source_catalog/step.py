"""Find the sources of a mosaic, and measure their places, fluxes and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError, NoProduct, ParameterError
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.sources.shapes import sharpness_and_roundness
from stpipe.steps.stage3.source_catalog.aperture_photometry import (
    Apertures,
    apertures_for,
    vega_offset,
)
from stpipe.steps.stage3.source_catalog.columns import Columns, SkyPlaces
from stpipe.steps.stage3.source_catalog.finding import Finder, Found

if TYPE_CHECKING:
    from stpipe.models import ImageModel, SegmentationMapModel, SourceCatalogModel
    from stpipe.science.arrays import Booleans, Floats

__all__ = ["SourceCatalogStep"]

JANSKY = 1e6  # Jy of 1 MJy
UNIT = "MJy/sr"


class SourceCatalogStep(Step):
    """Find the sources of a mosaic, and measure their places, fluxes and shapes.

    Sources are groups of pixels above the noise of the smoothed image, taken apart where they blend
    (photutils), or stars (`starfinder`). The catalogue has a row for each: places, fluxes in three
    circles that hold `aperture_ee` per cent of a point source's light by the APCORR reference, above
    the local background; `aper_total_flux`, all light of a point source by the largest circle; AB and
    Vega magnitudes, concentration, and isophotal flux and shape. `is_extended` tells which sources
    are no stars, whose `aper_total_flux` means nothing. Fluxes of circles with a pixel without a
    value are NaN. A second product, `_segm`, has the number of the source that each pixel belongs
    to, or 0.

    Without a row of ABVEGAOFFSET, Vega magnitudes are NaN; where no APCORR reference applies (N/A)
    the step is skipped.

    Notes
    -----
    The catalogue is text, ECSV: `astropy.table.QTable.read(path, format="ascii.ecsv")`.

    In a mosaic of few dithers all stars fall on the same fractions of pixels, which makes them wider or
    narrower than the star of the APCORR reference: with four dithers of a star of two and a half pixels
    (FWHM) the circle of 70 per cent holds about one per cent more or less light than it should.
    Larger circles are less sensitive: at 95 per cent it is a third of that.
    """

    alias = "source_catalog"
    suffix = "cat"
    status = "source_catalog"
    input_models = ("ImageModel",)
    reference_types = ("apcorr",)
    optional_reference_types = ("abvegaoffset",)
    outputs = (
        Output("catalog", "SourceCatalogModel", "cat"),
        Output("segments", "SegmentationMapModel", "segm"),
    )
    spec = """
        aperture_ee1 = integer(min=1, max=99, default=30)  # Light in the smallest circle, per cent
        aperture_ee2 = integer(min=1, max=99, default=50)  # Light in the middle circle, per cent
        aperture_ee3 = integer(min=1, max=99, default=70)  # Light in the largest circle, per cent
        ci1_star_threshold = float(default=2.0)  # Stars have less: middle over smallest circle
        ci2_star_threshold = float(default=1.8)  # Stars have less: largest over middle circle
        starfinder = option("dao", "iraf", "segmentation", default="segmentation")  # How to find
        snr_threshold = float(min=0, default=3.0)  # Of sources above the background, in its noise
        bkg_boxsize = integer(min=1, default=1000)  # Boxes that the background is measured in, pixels
        kernel_fwhm = float(min=0, default=2.0)  # Width of stars, pixels
        minsep_fwhm = float(min=0, default=0.0)  # dao, iraf: least distance, in kernel_fwhm
        sigma_radius = float(min=0, default=1.5)  # dao, iraf: reach of the kernel, in its sigma
        sharplo = float(default=0.5)  # dao, iraf: least sharpness
        sharphi = float(default=2.0)  # dao, iraf: largest sharpness
        roundlo = float(default=0.0)  # dao, iraf: least roundness
        roundhi = float(default=0.2)  # dao, iraf: largest roundness
        brightest = integer(min=1, default=200)  # dao, iraf: sources to keep
        peakmax = float(default=None)  # dao, iraf: sources with brighter pixels are left out, Jy
        npixels = integer(min=1, default=25)  # segmentation: connected pixels that make a source
        connectivity = option("4", "8", default="8")  # segmentation: neighbours of a pixel
        deblend = boolean(default=True)  # segmentation: take blends apart
        nlevels = integer(min=1, default=32)  # deblend: levels between a source's edge and peak
        contrast = float(min=0, max=1, default=0.001)  # deblend: least part of the light of a blend
        multithresh_mode = option("exponential", "linear", "sinh", default="exponential")  # steps
        localbkg_width = integer(min=0, default=0)  # segmentation: frame of the background, pixels
    """
    aperture_ee1: int
    aperture_ee2: int
    aperture_ee3: int
    ci1_star_threshold: float
    ci2_star_threshold: float
    starfinder: str
    snr_threshold: float
    bkg_boxsize: int
    kernel_fwhm: float
    minsep_fwhm: float
    sigma_radius: float
    sharplo: float
    sharphi: float
    roundlo: float
    roundhi: float
    brightest: int
    peakmax: float | None
    npixels: int
    connectivity: str
    deblend: bool
    nlevels: int
    contrast: float
    multithresh_mode: str
    localbkg_width: int

    def process(self, image: ImageModel) -> tuple[SourceCatalogModel, SegmentationMapModel]:
        """Detect and measure; return (catalog, segments)."""
        from stpipe import models

        apertures, offset = self._apertures(image), self._vega_offset(image)
        mosaic = _in_jansky(image, self.qualified_name)
        found = self._finder().find(*mosaic)
        catalog, segments = models.SourceCatalogModel(), models.SegmentationMapModel(found.segments)
        for product in (catalog, segments):
            product.update(image)
        segments.meta.wcs = image.meta.wcs
        catalog.aperture_params = _described(apertures)
        catalog.abvega_offset = None if np.isnan(offset) else offset
        self._columns(image, mosaic, found, (apertures, offset)).put_into(catalog)
        self.log.info("%d sources", len(found.labels))
        return catalog, segments

    def _columns(
        self, image: ImageModel, mosaic: _Mosaic, found: Found, photometry: tuple[Apertures, float]
    ) -> Columns:
        """The columns of the catalogue, in the order of the archive's."""
        apertures, offset = photometry
        fluxes = apertures.measure(mosaic.data, mosaic.err, found.places)
        limits = (self.ci1_star_threshold, self.ci2_star_threshold)
        shapes = sharpness_and_roundness(mosaic.data, found.places, self.kernel_fwhm)
        sky = SkyPlaces(image.meta.wcs, _reference_pixel(image))
        columns = Columns(offset)
        columns.add_places(found, sky)
        columns.add_circles(apertures, fluxes)
        columns.add_concentration(apertures, fluxes, limits)
        columns.add_star_shapes(*shapes)
        columns.add_neighbours(found)
        columns.add_isophotes(found, sky)
        return columns

    def _apertures(self, image: ImageModel) -> Apertures:
        energies = (self.aperture_ee1, self.aperture_ee2, self.aperture_ee3)
        if sorted(set(energies)) != list(energies):
            raise ParameterError(
                f"{self.qualified_name}: aperture_ee1, aperture_ee2, aperture_ee3 are "
                f"{', '.join(map(str, energies))}, allowed: each larger than the one before."
            )
        scale = image.meta.resample.pixel_scale_ratio
        if scale is None:
            self.log.warning("no PXSCLRT in the header: pixels are taken as the detector's")
        meta = image.to_flat_dict()
        return apertures_for(self.references["apcorr"], meta, energies, scale or 1.0)

    def _vega_offset(self, image: ImageModel) -> float:
        """AB minus Vega magnitude; NaN without a reference."""
        if self.selected["abvegaoffset"].path is None:
            self.log.warning("no abvegaoffset reference: Vega magnitudes are NaN")
            return float("nan")
        return vega_offset(self.references["abvegaoffset"].abvega_offset, image.to_flat_dict())

    def _finder(self) -> Finder:
        method = self.starfinder
        return Finder(
            method,
            self.snr_threshold,
            self.bkg_boxsize,
            self.kernel_fwhm,
            self._segment_options() if method == "segmentation" else self._star_options(),
            self.localbkg_width,
        )

    def _segment_options(self) -> dict[str, Any]:
        return {
            "n_pixels": self.npixels,
            "connectivity": int(self.connectivity),
            "deblend": self.deblend,
            "n_levels": self.nlevels,
            "contrast": self.contrast,
            "mode": self.multithresh_mode,
        }

    def _star_options(self) -> dict[str, Any]:
        return {
            "sigma_radius": self.sigma_radius,
            "min_separation": max(2, int(self.minsep_fwhm * self.kernel_fwhm + 0.5)),
            "sharpness_range": (self.sharplo, self.sharphi),
            "roundness_range": (self.roundlo, self.roundhi),
            "n_brightest": self.brightest,
            "peak_max": self.peakmax,
        }


class _Mosaic(NamedTuple):
    """Data and errors in Jy a pixel (rows, columns), and where there are none."""

    data: Floats
    err: Floats
    absent: Booleans


def _in_jansky(image: ImageModel, name: str) -> _Mosaic:
    area = image.meta.photometry.pixelarea_steradians
    if image.meta.wcs is None or not area:
        raise InputError(
            f"{name}: {image.meta.filename} has no gwcs or no PIXAR_SR. Run assign_wcs and photom."
        )
    if image.meta.bunit_data not in (None, UNIT):
        raise InputError(
            f"{name}: {image.meta.filename} has the unit {image.meta.bunit_data}, allowed: {UNIT}."
        )
    absent = np.isnan(image.data) | np.isnan(image.err) | has(image.dq, dqflags.DO_NOT_USE)
    if image.has("wht"):
        absent |= image.wht == 0
    if absent.all():
        raise NoProduct("no pixel has a value")
    factor = np.float32(JANSKY * area)
    return _Mosaic(image.data * factor, image.err * factor, absent)


def _reference_pixel(image: ImageModel) -> tuple[float, float]:
    """Where north is measured: the reference point of the coordinates, else the middle."""
    known = image.meta.wcsinfo.crpix1, image.meta.wcsinfo.crpix2
    if None not in known:
        return known[0] - 1, known[1] - 1
    rows, columns = image.shape
    return (columns - 1) / 2, (rows - 1) / 2


def _described(apertures: Apertures) -> dict[str, Any]:
    """The apertures, by the names that catalogues have for them."""
    return {
        "aperture_ee": list(apertures.energies),
        "aperture_radii": list(apertures.radii),
        "aperture_corrections": list(apertures.corrections),
        "bkg_aperture_inner_radius": apertures.inner,
        "bkg_aperture_outer_radius": apertures.outer,
    }
