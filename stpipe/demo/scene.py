"""What the telescope looks at: a sky with a gradient and stars of very different brightness.

Brightness is set per frame as a fraction of the full well, so that every subarray sees faint
background, stars for all weights of the ramp fit and some that saturate early, as an observer who
chooses the subarray for the target would.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stpipe.demo import field
from stpipe.demo.detectors import Detector, Subarray
from stpipe.demo.field import Pointing
from stpipe.demo.geometry import is_lit

__all__ = ["observe"]

SKY: Final = 0.003
"""Mean sky, full wells per frame."""
STARS: Final = (0.003, 1.5)
"""Peaks of the faintest and the brightest star, full wells per frame."""
PIXELS_PER_STAR: Final = 2000
FEWEST_STARS: Final = 6
SIGMA: Final = 1.1
"""Width of the point-spread function, pixels."""
RADIUS: Final = 7

Image = npt.NDArray[np.float64]


def observe(
    detector: Detector,
    subarray: Subarray,
    rng: np.random.Generator,
    pointing: Pointing | None = None,
) -> Image:
    """Light that each pixel receives, e-/s, shape (ny, nx); 0 where no light falls.

    With a pointing the stars are those of the field, before an even sky.
    """
    if pointing is None:
        image, stars = _sky(subarray), _stars(subarray, rng)
    else:
        image = np.full(subarray.shape, SKY)
        stars = _stars_of_field(detector, subarray, pointing)
    for y, x, peak in stars:
        _add_star(image, y, x, peak)
    image[~is_lit(detector, subarray)] = 0.0
    return image * (detector.full_well / subarray.frame_time)


def _sky(subarray: Subarray) -> Image:
    gradient = np.linspace(0.1, 1.9, subarray.xsize)
    return np.tile(SKY * gradient, (subarray.ysize, 1))


def _stars(subarray: Subarray, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rows (y, x, peak); peaks are spread evenly in magnitude, their places are random."""
    ny, nx = subarray.shape
    count = max(FEWEST_STARS, ny * nx // PIXELS_PER_STAR)
    peaks = np.geomspace(*STARS, count)
    return np.column_stack([rng.uniform(0, ny, count), rng.uniform(0, nx, count), peaks])


def _stars_of_field(
    detector: Detector, subarray: Subarray, pointing: Pointing
) -> npt.NDArray[np.float64]:
    """Rows (y, x, peak) of the stars in or near the subarray."""
    x, y = field.at_pixels(detector, subarray, pointing)
    ny, nx = subarray.shape
    near = (np.abs(x - nx / 2) < nx / 2 + RADIUS) & (np.abs(y - ny / 2) < ny / 2 + RADIUS)
    rows: npt.NDArray[np.float64] = np.column_stack([y, x, field.stars()["peak"]])[near]
    return rows


def _add_star(image: Image, y: float, x: float, peak: float) -> None:
    """Add a Gaussian star in place; pixels further than RADIUS get nothing."""
    ny, nx = image.shape
    rows = np.arange(max(0, int(y) - RADIUS), min(ny, int(y) + RADIUS + 1))
    columns = np.arange(max(0, int(x) - RADIUS), min(nx, int(x) + RADIUS + 1))
    profile_y = np.exp(-0.5 * ((rows - y) / SIGMA) ** 2)
    profile_x = np.exp(-0.5 * ((columns - x) / SIGMA) ** 2)
    image[np.ix_(rows, columns)] += peak * np.outer(profile_y, profile_x)
