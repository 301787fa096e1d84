"""Where the light falls: from pixels to the telescope's frame, with distortion.

The distortion bends columns, then rows, each by a parabola. It is of the size that the real cameras
have, and can be undone exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import Detector, Subarray

__all__ = [
    "APERTURES",
    "ARCSEC2",
    "PARITY",
    "Aperture",
    "bent",
    "distortion_model",
    "megajansky",
    "reference_point",
    "turn",
    "v2v3",
]

Doubles = npt.NDArray[np.float64]

PARITY: Final = -1
"""VPARITY: the ideal x axis runs against V2."""
ARCSEC2: Final = float(np.deg2rad(1 / 3600)) ** 2
"""sr"""
PLANCK: Final = 6.62607015e-34
"""J s; 1 MJy is 1e-20 W/m2/Hz"""


@dataclass(frozen=True)
class Aperture:
    """Where the centre of the full frame is in the telescope's frame, and how it is turned."""

    v2: float
    """arcsec"""
    v3: float
    """arcsec"""
    angle: float
    """From V3 to the y axis, degrees"""
    scale: float
    """arcsec per pixel"""
    bend: float
    """Shift of a row per square of the distance from the centre, 1/arcsec; columns bend half as much"""


APERTURES: Final = MappingProxyType(
    {
        "NIRCAM": Aperture(120.525464, -527.543132, -0.5627898, 0.0311, 3e-4),
        "NIRISS": Aperture(-290.1, -697.5, 0.56987018, 0.0656, 1e-4),
        "NIRSPEC": Aperture(378.563, -428.402, 138.5756, 0.1050, 1e-4),
        "MIRI": Aperture(-453.559116, -373.814447, 4.83425324, 0.1108, 1e-4),
    }
)


def distortion_model(detector: Detector) -> Any:
    """Transform from 0-based pixels of the full frame to V2, V3 in arcsec, with its inverse."""
    from astropy.modeling.models import AffineTransformation2D, Scale, Shift

    aperture, frame = APERTURES[detector.instrument], detector.frame
    x, y = (frame.xsize - 1) / 2, (frame.ysize - 1) / 2
    centre = (Shift(-x) & Shift(-y)) | (Scale(aperture.scale) & Scale(aperture.scale))
    turned = AffineTransformation2D(turn(aperture), translation=(aperture.v2, aperture.v3))
    return centre | bent(aperture.bend, aperture.bend / 2) | turned


def bent(a: float, b: float) -> Any:
    """Transform (x, y) to (x', y') with y' = y + a x^2 and x' = x + b y'^2, and its inverse."""
    from astropy.modeling.models import Mapping, Polynomial2D

    bent_x = Polynomial2D(4, c1_0=1, c0_2=b, c2_1=2 * a * b, c4_0=a * a * b)
    bent_y = Polynomial2D(4, c0_1=1, c2_0=a)
    straight_x = Polynomial2D(4, c1_0=1, c0_2=-b)
    straight_y = Polynomial2D(4, c0_1=1, c2_0=-a, c1_2=2 * a * b, c0_4=-a * b * b)
    twice = Mapping((0, 1, 0, 1))
    transform = twice | (bent_x & bent_y)
    transform.inverse = twice | (straight_x & straight_y)
    return transform


def turn(aperture: Aperture) -> Doubles:
    """Matrix (2, 2) from the axes of an aperture to V2, V3."""
    cosine, sine = np.cos(np.deg2rad(aperture.angle)), np.sin(np.deg2rad(aperture.angle))
    return np.array([[PARITY * cosine, sine], [-PARITY * sine, cosine]])


def reference_point(detector: Detector, subarray: Subarray) -> tuple[float, float]:
    """V2 and V3 in arcsec of the centre of a subarray."""
    return v2v3(detector, subarray, (subarray.xsize - 1) / 2, (subarray.ysize - 1) / 2)


def v2v3(detector: Detector, subarray: Subarray, column: float, row: float) -> tuple[float, float]:
    """V2 and V3 in arcsec of a 0-based position in a subarray."""
    aperture, frame = APERTURES[detector.instrument], detector.frame
    x = subarray.xstart - 1 + column - (frame.xsize - 1) / 2
    y = subarray.ystart - 1 + row - (frame.ysize - 1) / 2
    x, y = x * aperture.scale, y * aperture.scale
    y += aperture.bend * x**2
    x += aperture.bend / 2 * y**2
    v2, v3 = turn(aperture) @ [x, y]
    return float(aperture.v2 + v2), float(aperture.v3 + v3)


def megajansky(detector: Detector) -> float:
    """MJy/sr of 1 DN/s: a mirror of 25 m2 that half of the photons survive, in a tenth of the band."""
    area = APERTURES[detector.instrument].scale ** 2 * ARCSEC2
    return float(PLANCK * detector.gain / (0.5 * 25.0 * 0.1 * area) * 1e20)
