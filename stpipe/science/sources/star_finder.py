"""Find stars in an image: where they are, to a fraction of a pixel."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has

if TYPE_CHECKING:
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = ["FWHM", "StarFinder", "background_and_noise", "between", "filled", "refined", "usable"]

FWHM = 2.3548  # full width at half maximum of a Gaussian over its standard deviation
FAR = 0.01  # weight of neighbours below which there are none


def usable(data: Floats, dq: Bits) -> Booleans:
    """Pixels with a value that is good for anything.

    Parameters
    ----------
    data : (rows, columns) float32
    dq : (rows, columns) uint32

    Returns
    -------
    (rows, columns) bool
    """
    return np.isfinite(data) & ~has(dq, dqflags.DO_NOT_USE | dqflags.NON_SCIENCE)


def background_and_noise(data: Floats, good: Booleans, box: int) -> tuple[Doubles, Doubles]:
    """Smooth background of an image and the noise of its pixels.

    Boxes are clipped at three standard deviations (Bertin & Arnouts 1996); between their middles the
    background is linear.

    Parameters
    ----------
    data : (rows, columns) float32
        In any unit.
    good : (rows, columns) bool
        Pixels that count.
    box : int, pixels
        Side of the boxes.

    Returns
    -------
    background, noise : (rows, columns) float64
        In the unit of the data.
    """
    from photutils.background import Background2D

    shape = tuple(min(box, size) for size in data.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of boxes without a good pixel: interpolated
        found = Background2D(
            np.where(good, data, 0), shape, mask=~good, exclude_percentile=90.0, filter_size=1
        )
        meshes = (found.background_mesh, found.background_rms_mesh)
    level, noise = (between(np.atleast_2d(mesh), shape, data.shape) for mesh in meshes)
    return level, noise


def between(mesh: Doubles, box: tuple[int, ...], shape: tuple[int, ...]) -> Doubles:
    """Values of boxes, which begin in the first row and column, at every pixel.

    Parameters
    ----------
    mesh : (boxes, boxes) float64
        Values at the middles of boxes.
    box : (int, int)
        Rows and columns of a box.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    (rows, columns) float64
    """
    for axis in (0, 1):
        middles = (np.arange(mesh.shape[axis]) + 0.5) * box[axis] - 0.5
        place = np.interp(np.arange(shape[axis]), middles, np.arange(mesh.shape[axis]))
        low = np.minimum(place.astype(int), max(mesh.shape[axis] - 2, 0))
        high = np.minimum(low + 1, mesh.shape[axis] - 1)
        part = (place - low).reshape((-1, 1) if axis == 0 else (1, -1))
        mesh = mesh.take(low, axis) * (1 - part) + mesh.take(high, axis) * part
    return mesh


@dataclass(frozen=True)
class StarFinder:
    """Stars brighter than `snr_threshold` times the noise, of width `kernel_fwhm` pixels.

    DAOFIND: Stetson 1987, PASP 99, 191.
    """

    snr_threshold: float
    kernel_fwhm: float
    bkg_boxsize: int
    brightest: int | None = None
    peakmax: float | None = None
    sharplo: float = 0.2
    sharphi: float = 1.0
    roundlo: float = -1.0
    roundhi: float = 1.0

    def find(self, data: Floats, dq: Bits) -> Doubles:
        """Places of stars, the brightest first.

        Parameters
        ----------
        data : (rows, columns) float32
            In any unit.
        dq : (rows, columns) uint32

        Returns
        -------
        (n, 2: x, y) float64, pixels from 0
        """
        from photutils.detection import DAOStarFinder

        good = usable(data, dq)
        try:
            background, noise = background_and_noise(data, good, self.bkg_boxsize)
        except ValueError:  # no box has enough good pixels
            return np.zeros((0, 2))
        image = filled(np.where(good, data - background, 0.0), good, self.kernel_fwhm / FWHM)
        finder = DAOStarFinder(
            threshold=self.snr_threshold * float(np.median(noise[good])),
            fwhm=self.kernel_fwhm,
            peak_max=self.peakmax,
            n_brightest=self.brightest,
            sharpness_range=(self.sharplo, self.sharphi),
            roundness_range=(self.roundlo, self.roundhi),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are none: the caller says so
            table = finder(image, mask=~good)
        if table is None:
            return np.zeros((0, 2))
        places = np.column_stack([table["x_centroid"], table["y_centroid"]])
        order = np.argsort(-np.asarray(table["flux"]))
        return refined(image, places[order], self.kernel_fwhm)


def filled(image: Doubles, good: Booleans, sigma: float) -> Doubles:
    """The image with Gaussian means of good neighbours in pixels that are not good; 0 far from any.

    Stars keep their places: a pixel that is 0 pulls their centroids away from it.

    Parameters
    ----------
    image : (rows, columns) float64
    good : (rows, columns) bool
    sigma : float, pixels
        Of the Gaussian.

    Returns
    -------
    (rows, columns) float64
    """
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(good.astype(np.float64), sigma)
    smooth = gaussian_filter(np.where(good, image, 0.0), sigma)
    near = np.divide(smooth, weight, out=np.zeros_like(image), where=weight > FAR)
    return np.where(good, image, near)


def refined(image: Doubles, places: Doubles, fwhm: float) -> Doubles:
    """Better places: centroids under a Gaussian window that follows them.

    The window has the width of the stars, which is near the best weight there is for noise that is
    the same everywhere (Bertin & Arnouts 1996, windowed positions).

    Parameters
    ----------
    image : (rows, columns) float64
        Above the background.
    places : (n, 2: x, y) float64, pixels from 0
    fwhm : float, pixels
        Full width at half maximum of stars.

    Returns
    -------
    (n, 2: x, y) float64, pixels from 0
        Where a window runs away or is empty, the place as it was.
    """
    sigma = fwhm / FWHM
    radius = int(np.ceil(3 * sigma)) + 1
    return np.array([_follow(image, place, sigma, radius) for place in places]).reshape(-1, 2)


def _follow(image: Doubles, place: Doubles, sigma: float, radius: int) -> Doubles:
    x, y = place
    for _ in range(20):
        rows = slice(max(0, round(y) - radius), round(y) + radius + 1)
        columns = slice(max(0, round(x) - radius), round(x) + radius + 1)
        cut = image[rows, columns]
        dy = np.arange(rows.start, rows.start + cut.shape[0])[:, None] - y
        dx = np.arange(columns.start, columns.start + cut.shape[1]) - x
        weight = cut * np.exp(-0.5 * (dx**2 + dy**2) / sigma**2)
        total = weight.sum()
        if not total > 0:
            return place
        step = 2 * np.array([(weight * dx).sum(), (weight * dy).sum()]) / total
        x, y = x + step[0], y + step[1]
        if np.hypot(*(np.array([x, y]) - place)) > 2 * sigma:
            return place  # it ran after a neighbour
        if np.abs(step).max() < 1e-4:  # noqa: PLR2004 - pixels; far below the noise
            break
    return np.array([x, y])
