"""Light of a spectrum that its aperture, or the edge of a subarray, keeps from the detector.

References have the part that passes, by wavelength and by the place of the source in the aperture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["Axis", "at_place", "at_wheel_position", "axis_of"]


@dataclass(frozen=True)
class Axis:
    """A linear axis of a FITS image.

    Attributes
    ----------
    crpix, crval, cdelt : float
        The pixel, from 1, whose value is `crval`, and the step to the next.
    """

    crpix: float
    crval: float
    cdelt: float

    def index(self, value: float | Doubles) -> Doubles:
        """Pixels, from 0, that have a value.

        Parameters
        ----------
        value : float or (n,) float64

        Returns
        -------
        () or (n,) float64
        """
        return np.asarray(self.crpix + (value - self.crval) / self.cdelt - 1)

    def values(self, size: int) -> Doubles:
        """The values of all pixels.

        Parameters
        ----------
        size : int

        Returns
        -------
        (size,) float64
        """
        pixels = np.arange(1, size + 1, dtype=np.float64)
        return np.asarray(self.crval + (pixels - self.crpix) * self.cdelt)


def axis_of(keywords: Any, number: int) -> Axis:
    """An axis by its keywords.

    Parameters
    ----------
    keywords : metadata with `crpix1`, `crval1`, `cdelt1`, ...
    number : int
        Of the axis, from 1: the first runs fastest.

    Returns
    -------
    Axis
    """
    return Axis(*(getattr(keywords, f"{name}{number}") for name in ("crpix", "crval", "cdelt")))


def at_place(planes: Floats, axes: tuple[Axis, Axis], place: tuple[float, float]) -> Doubles | None:
    """What passes at a place between those of a reference, by bilinear interpolation.

    Parameters
    ----------
    planes : (wavelengths, y, x) float32
    axes : (Axis, Axis)
        Of x, then of y.
    place : (float, float)
        x and y of the source, in the units of the axes.

    Returns
    -------
    (wavelengths,) float64, or None where the reference does not reach
    """
    x, y = (float(axis.index(value)) for axis, value in zip(axes, place, strict=True))
    _, rows, columns = planes.shape
    if not (0 <= x < columns - 1 and 0 <= y < rows - 1):
        return None
    column, row = int(x), int(y)
    along_x, along_y = np.array([1 - (x - column), x - column]), np.array([1 - (y - row), y - row])
    around = planes[:, row : row + 2, column : column + 2].astype(np.float64)
    passing: Doubles = np.einsum("wyx,y,x", around, along_y, along_x)
    return passing


def at_wheel_position(
    image: Floats, axes: tuple[Axis, Axis], position: float, size: int
) -> Floats | None:
    """What passes of NIRISS' cross-dispersed spectra, whose second and third order leave the subarray.

    Parameters
    ----------
    image : (columns of the detector, positions) float32
        By the column of the detector and the position of the pupil wheel.
    axes : (Axis, Axis)
        Of positions, in degrees, then of columns, from 1.
    position : float, degrees
        Of the pupil wheel, PWCPOS.
    size : int
        Columns of the exposure.

    Returns
    -------
    (size,) float32, or None where the reference does not reach
        1 in columns that the reference does not have.
    """
    rows, columns = image.shape
    place = float(axes[0].index(position))
    if not 0 <= place <= columns - 2:
        return None
    below = int(place)
    between = image[:, below] * (1 - (place - below)) + image[:, below + 1] * (place - below)
    row = np.floor(axes[1].index(np.arange(1.0, size + 1)) + 0.5).astype(int)
    known = (row >= 0) & (row < rows)
    return np.where(known, between[np.clip(row, 0, rows - 1)], 1).astype(np.float32)
