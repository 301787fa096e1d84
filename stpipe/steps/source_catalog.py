"""Find the sources of a mosaic, and measure their places and fluxes."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError, NoProduct, ParameterError
from stpipe.models import dqflags
from stpipe.step import Output, Step
from stpipe.steps.sources import FWHM, background_and_noise, refined

if TYPE_CHECKING:
    from stpipe.steps._arrays import Bits, Booleans, Doubles

__all__ = ["SourceCatalogStep", "abmag"]

JANSKY = 1e6  # Jy of 1 MJy
ZERO = 3631.0  # Jy of AB magnitude 0
WHOLE = 0.99  # of a circle that has to be in the image


class SourceCatalogStep(Step):
    """Find the sources of a mosaic, and measure their places and fluxes.

    Sources are groups of pixels above the noise of the smoothed image (photutils); blends are taken
    apart on request. The table has places in pixels (from 0) and degrees, the flux in Jy within a
    circle of `aperture_radius` pixels without the background, its error from ERR, the AB magnitude,
    and whether the source is twice as wide as `kernel_fwhm`. Light outside the circle is not corrected
    for; fluxes of circles that are not all in the image are NaN. A second product, `_segm`, has the
    number of the source that each pixel belongs to, or 0.

    Differences from jwst 3.0.0: the table is in a FITS file, as all products, and the radius is a
    parameter, as encircled energies of the APCORR reference are not used.
    """

    alias = "source_catalog"
    suffix = "cat"
    status = "source_catalog"
    input_models = ("ImageModel",)
    outputs = (
        Output("catalog", "SourceCatalogModel", "cat"),
        Output("segments", "SegmentationMapModel", "segm"),
    )
    spec = """
        snr_threshold = float(min=0, default=3.0)  # Peaks of the smoothed image over its noise
        npixels = integer(min=1, default=10)  # Connected pixels that make a source
        bkg_boxsize = integer(min=1, default=1000)  # Boxes that the background is measured in, pixels
        kernel_fwhm = float(min=0.5, default=2.5)  # Width of stars, pixels
        aperture_radius = float(min=0.5, default=5.0)  # Of the circle, pixels
        deblend = boolean(default=False)  # Take blends apart; needs scikit-image
    """
    snr_threshold: float
    npixels: int
    bkg_boxsize: int
    kernel_fwhm: float
    aperture_radius: float
    deblend: bool

    def process(self, image: Any) -> Any:
        """Detect and measure; return (catalog, segments)."""
        from stpipe import models

        if image.meta.wcs is None or not image.meta.photometry.pixelarea_steradians:
            raise InputError(
                f"{self.qualified_name}: {image.meta.filename} has no gwcs or no PIXAR_SR. Run "
                "assign_wcs and photom."
            )
        good = np.isfinite(image.data) & (image.dq & dqflags.DO_NOT_USE == 0)
        if not good.any():
            raise NoProduct("no pixel has a value")
        background, _ = background_and_noise(image.data, good, self.bkg_boxsize)
        data = np.where(good, image.data - background, 0.0)
        found, numbers = self._detected(data, good)
        catalog, segments = models.SourceCatalogModel(), models.SegmentationMapModel(numbers)
        for product in (catalog, segments):
            product.update(image)
        segments.meta.wcs = image.meta.wcs
        catalog.catalog = self._table(image, data, good, found)
        self.log.info("%d sources", len(catalog.catalog))
        return catalog, segments

    def _table(self, image: Any, data: Doubles, good: Booleans, found: Doubles) -> Any:
        from stpipe import models

        dtype = models.SourceCatalogModel().schema.arrays["catalog"].dtype
        table = np.zeros(len(found), dtype)
        if not len(found):
            return table
        places = refined(data, found[:, :2], self.kernel_fwhm)
        scale = image.meta.photometry.pixelarea_steradians * JANSKY
        flux, err = self._fluxes(data, image.err, good, places)
        table["label"] = found[:, 3]
        table["xcentroid"], table["ycentroid"] = places.T
        table["ra"], table["dec"] = image.meta.wcs(*places.T, with_bounding_box=False)
        table["flux"], table["flux_err"] = flux * scale, err * scale
        table["abmag"], table["abmag_err"] = abmag(table["flux"], table["flux_err"])
        table["is_extended"] = found[:, 2] > 2 * self.kernel_fwhm
        return table

    def _detected(self, data: Doubles, good: Booleans) -> tuple[Doubles, Bits]:
        """Sources (n, 4: x, y, full width at half maximum, number), and the number at each pixel."""
        from photutils.segmentation import SourceCatalog, SourceFinder
        from scipy.ndimage import gaussian_filter

        if self.deblend and find_spec("skimage") is None:
            raise ParameterError("deblend needs scikit-image: pip install scikit-image")
        sigma = self.kernel_fwhm / FWHM
        smooth = gaussian_filter(data, sigma)
        # Measured, as neighbouring pixels of a mosaic are correlated.
        level = self.snr_threshold * background_and_noise(smooth, good, self.bkg_boxsize)[1]
        finder = SourceFinder(self.npixels, deblend=self.deblend, progress_bar=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are none: the table is empty then
            segments = finder(smooth, level, mask=~good)
            if segments is None:
                return np.zeros((0, 4)), np.zeros(data.shape, dtype=np.uint32)
            sources = SourceCatalog(data, segments, convolved_data=smooth, mask=~good)
            found = [sources.x_centroid, sources.y_centroid, sources.fwhm.value, sources.labels]
        table = np.column_stack(found)
        known: Doubles = np.asarray(table[np.isfinite(table).all(axis=1)], dtype=np.float64)
        return known, segments.data.astype(np.uint32)

    def _fluxes(
        self, data: Doubles, err: Any, good: Booleans, places: Doubles
    ) -> tuple[Doubles, Doubles]:
        """Sums within circles, and their errors; NaN where a circle is not all in the image."""
        from photutils.aperture import CircularAperture, aperture_photometry

        circles = CircularAperture(places, self.aperture_radius)
        errors = np.where(good, np.nan_to_num(err), 0.0)
        sums = aperture_photometry(data, circles, error=errors)
        covered = aperture_photometry(good.astype(np.float64), circles)["aperture_sum"]
        whole = np.asarray(covered) > WHOLE * circles.area
        made = (np.asarray(sums[f"aperture_sum{kind}"]) for kind in ("", "_err"))
        flux, error = (np.where(whole, values, np.nan) for values in made)
        return flux, error


def abmag(flux: Doubles, err: Doubles) -> tuple[Doubles, Doubles]:
    """AB magnitudes and errors of fluxes in Jy; NaN where a flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.where(flux > 0, -2.5 * np.log10(flux / ZERO), np.nan)
        error = np.where(flux > 0, 2.5 / np.log(10) * err / flux, np.nan)
    return magnitude, error
