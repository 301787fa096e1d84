"""Coordinates that follow a target which moves on the sky."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gwcs import WCS

__all__ = ["FRAME", "following", "mean_place"]

FRAME = "moving_target"
SPECTRAL_AXES = 3


def mean_place(places: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean of places on the sky that are close to each other, on both sides of 0 h if need be.

    Parameters
    ----------
    places : sequence of (float, float), degrees
        Right ascensions and declinations.

    Returns
    -------
    (float, float), degrees
        Right ascension between 0 and 360, and declination.
    """
    ra, dec = np.transpose(places)
    beside = (ra - ra[0] + 180) % 360 - 180
    return float((ra[0] + beside.mean()) % 360), float(dec.mean())


def following(wcs: WCS, place: tuple[float, float], mean: tuple[float, float]) -> WCS:
    """Coordinates in which a target is where it is on average.

    Parameters
    ----------
    wcs : gwcs.WCS
        To right ascension and declination in degrees, or to these and a wavelength.
    place, mean : (float, float), degrees
        Right ascension and declination of the target in the exposure, and on average.

    Returns
    -------
    gwcs.WCS
        With one frame more, `moving_target`, and the same bounding box.
    """
    from astropy.modeling.models import Identity, Shift
    from gwcs import WCS as Gwcs  # noqa: N811 - the name is taken by the annotation

    ra = (mean[0] - place[0] + 180) % 360 - 180
    shift = Shift(ra) & Shift(mean[1] - place[1])
    if wcs.output_frame.naxes == SPECTRAL_AXES:
        shift = shift & Identity(1)
    frame = copy.deepcopy(wcs.output_frame)
    frame.name = FRAME
    *before, last = wcs.pipeline
    made = Gwcs([*before, (last.frame, shift), (frame, None)])
    made.bounding_box = wcs.bounding_box
    made.array_shape = wcs.array_shape
    return made
