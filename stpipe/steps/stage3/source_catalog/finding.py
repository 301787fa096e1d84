"""Find the sources of a mosaic: pixels above the noise of the smoothed image, or stars."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from astropy.units import Quantity
    from photutils.background import Background2D
    from photutils.segmentation import SourceCatalog

    from stpipe.engine.band import Array
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = ["Finder", "Found"]

CORNERS = ("ll", "ul", "lr", "ur")
# Columns of the catalogue and what photutils calls them.
SHAPES = {
    "isophotal_flux": "segment_flux",
    "isophotal_flux_err": "segment_flux_err",
    "isophotal_area": "area",
    "semimajor_sigma": "semimajor_axis",
    "semiminor_sigma": "semiminor_axis",
    "ellipticity": "ellipticity",
    "orientation": "orientation",
}


@dataclass(frozen=True)
class Found:
    """Sources: numbers, places (n, 2: x, y, from 0), shapes by column, corners of outlines.

    `shapes` are NaN where the finder measures none; `corners` has pixels (n, 2) by column.
    """

    labels: npt.NDArray[np.integer]
    places: Doubles
    shapes: Mapping[str, Doubles]
    corners: Mapping[str, Doubles]
    segments: Bits


@dataclass(frozen=True)
class Finder:
    """How sources are found; `options` go to the class of photutils that `starfinder` stands for.

    Attributes
    ----------
    starfinder
        `segmentation`, or `dao` and `iraf` for stars.
    snr_threshold
        Times the noise of the background.
    bkg_boxsize
        Side of the boxes in which background and noise are measured, pixels.
    kernel_fwhm
        Width of the Gaussian that the image is smoothed with, pixels.
    localbkg_width
        Width of the frame around a source whose light is taken off its isophotal flux, pixels.
    """

    starfinder: str
    snr_threshold: float
    bkg_boxsize: int
    kernel_fwhm: float
    options: Mapping[str, object] = field(default_factory=dict)
    localbkg_width: int = 0

    def find(self, data: Floats, err: Floats, absent: Booleans) -> Found:
        """The sources of an image; pixels that are `absent` belong to none."""
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of pixels without a value, and that there is no source
            background = _background(data, self.bkg_boxsize, absent)
            image = data - background.background
            level = self.snr_threshold * background.background_rms
            if self.starfinder == "segmentation":
                return self._segments(image, level, err, absent)
            return self._stars(image, float(np.median(level)), absent)

    def _segments(self, image: Floats, level: Floats, err: Floats, absent: Booleans) -> Found:
        from photutils.segmentation import SourceCatalog, SourceFinder

        smooth = self._smooth(image, absent)
        segments = SourceFinder(progress_bar=False, **self.options)(smooth, level, mask=absent)
        if segments is None:
            return _nothing(image.shape)
        sources = SourceCatalog(
            image,
            segments,
            mask=absent,
            convolved_data=smooth,
            error=err,
            local_bkg_width=self.localbkg_width,
        )
        shapes = {name: _plain(getattr(sources, theirs)) for name, theirs in SHAPES.items()}
        shapes["orientation"] = _axis(shapes["orientation"])
        return Found(
            np.atleast_1d(sources.labels),
            np.column_stack([sources.x_centroid, sources.y_centroid]),
            shapes,
            _corners(sources),
            segments.data.astype(np.uint32),
        )

    def _smooth(self, image: Floats, absent: Booleans) -> Floats | Doubles:
        from astropy.convolution import Gaussian2DKernel, convolve
        from astropy.stats import gaussian_fwhm_to_sigma

        if not self.kernel_fwhm > 0:
            return image
        kernel = Gaussian2DKernel(self.kernel_fwhm * gaussian_fwhm_to_sigma)
        smooth: Doubles = convolve(image, kernel, mask=absent)
        return smooth

    def _stars(self, image: Floats, level: float, absent: Booleans) -> Found:
        from photutils.detection import DAOStarFinder, IRAFStarFinder

        cls = DAOStarFinder if self.starfinder == "dao" else IRAFStarFinder
        table = cls(level, self.kernel_fwhm, **self.options)(image, mask=absent)
        if table is None:
            return _nothing(image.shape)
        shapes = _no_shapes(len(table)) | {"isophotal_flux": _plain(table["flux"])}
        if "orientation" in table.colnames:
            shapes["orientation"] = _axis(_plain(table["orientation"]))
        places = np.column_stack([table["x_centroid"], table["y_centroid"]])
        labels = np.asarray(table["id"])
        return Found(labels, places, shapes, {}, np.zeros(image.shape, np.uint32))


def _background(data: Floats, box: int, absent: Booleans) -> Background2D:
    """Background and noise from medians of boxes; from the whole image when no box has enough."""
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MedianBackground

    how: dict[str, Any] = {
        "filter_size": (3, 3),
        "coverage_mask": absent,
        "sigma_clip": SigmaClip(sigma=3.0),
        "bkg_estimator": MedianBackground(),
    }
    try:
        return Background2D(data, box, **how)
    except ValueError:
        return Background2D(data, data.shape, exclude_percentile=100.0, **how)


def _corners(sources: SourceCatalog) -> dict[str, Doubles]:
    """The corners of the boxes around sources, at the outer edges of their pixels (n, 2)."""
    left, right = (np.atleast_1d(getattr(sources, f"bbox_{n}")) for n in ("xmin", "xmax"))
    low, high = (np.atleast_1d(getattr(sources, f"bbox_{n}")) for n in ("ymin", "ymax"))
    sides = {"l": low - 0.5, "u": high + 0.5}, {"l": left - 0.5, "r": right + 0.5}
    return {f"sky_bbox_{c}": np.column_stack([sides[1][c[1]], sides[0][c[0]]]) for c in CORNERS}


def _nothing(shape: tuple[int, ...]) -> Found:
    places, corners = np.zeros((0, 2)), {f"sky_bbox_{c}": np.zeros((0, 2)) for c in CORNERS}
    none = np.zeros(0, np.int32)
    return Found(none, places, _no_shapes(0), corners, np.zeros(shape, np.uint32))


def _no_shapes(count: int) -> dict[str, Doubles]:
    return {name: np.full(count, np.nan) for name in SHAPES}


def _axis(angle: Doubles) -> Doubles:
    """From -90 to 90 degrees; releases of photutils differ in the end of the axis that they take."""
    return (angle + 90) % 180 - 90


def _plain(values: Quantity | Array) -> Doubles:
    return np.atleast_1d(np.asarray(getattr(values, "value", values), dtype=np.float64))
