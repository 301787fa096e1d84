"""The response of pixels to the light of a spectrum: what fore optics, spectrograph, detector add."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has, known_or_zero

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from stpipe.science.arrays import Bits, Doubles, Floats
    from stpipe.science.flats.fast_variation import FastVariation, Light

__all__ = ["Flat", "at_wavelength", "combined", "fore_optics", "with_fast_variation"]

IMAGE = 2  # axes
UNKNOWN = dqflags.NO_FLAT_FIELD | dqflags.DO_NOT_USE
BAD = UNKNOWN | dqflags.UNRELIABLE_FLAT


@dataclass(frozen=True)
class Flat:
    """Response, flags and error of pixels ([planes,] rows, columns); of planes, too, images of both."""

    response: Doubles | Floats
    dq: Bits
    error: Doubles | Floats


def at_wavelength(cube: Flat, planes: Doubles, light: Light) -> Flat:
    """The slow variation at the wavelength of each pixel, linear between planes.

    Pixels beyond the planes are DO_NOT_USE. An image, or a single plane, counts for all wavelengths.

    Parameters
    ----------
    cube : Flat of (planes, rows, columns) or (rows, columns)
    planes : (planes,) float64, um
        Increasing.
    light : Light

    Returns
    -------
    Flat of (rows, columns)
        With the response 1 where it is DO_NOT_USE: 0, NaN and flagged pixels.
    """
    if cube.response.ndim == IMAGE:
        return _usable(cube)
    if planes.size == 1:
        return _usable(Flat(*(_plane(a) for a in (cube.response, cube.dq, cube.error))))
    wave = light.wavelength
    below = np.clip(np.searchsorted(planes, wave, "right") - 1, 0, planes.size - 2)
    part = (wave - planes[below]) / (planes[below + 1] - planes[below])
    response, error = (_between(values, below, part) for values in (cube.response, cube.error))
    beyond = (wave < planes[0]) | (wave > planes[-1])
    dq = _flags(cube.dq, below, part) | bits_where(beyond, dqflags.DO_NOT_USE)
    return _usable(Flat(response, dq, error))


def _plane(array: Any) -> Any:
    return array.reshape(array.shape[-2:])


def _of_planes(array: Any, numbers: Any) -> Any:
    return np.take_along_axis(array, numbers[np.newaxis], axis=0)[0]


def _between(values: Doubles | Floats, below: Any, part: Doubles) -> Doubles:
    """Values between the plane below and the next one; an image as it is."""
    if values.ndim == IMAGE:
        return np.asarray(values, dtype=np.float64)
    low, high = _of_planes(values, below), _of_planes(values, below + 1)
    return np.asarray((1 - part) * low + part * high)


def _flags(dq: Bits, below: Any, part: Doubles) -> Bits:
    """Flags of the plane below, and of the next one unless the wavelength is that of the plane."""
    if dq.ndim == IMAGE:
        return dq
    low, high = _of_planes(dq, below), _of_planes(dq, below + 1)
    return np.asarray(np.where(part == 0, low, low | high), dtype=np.uint32)


def _usable(flat: Flat) -> Flat:
    """The flat with the response 1 where it is not known."""
    good = ~has(flat.dq, dqflags.DO_NOT_USE)
    lost = good & (np.isnan(flat.response) | (flat.response == 0))
    dq = flat.dq | bits_where(lost, UNKNOWN)
    return Flat(np.where(has(dq, dqflags.DO_NOT_USE), 1, flat.response), dq, flat.error)


def with_fast_variation(slow: Flat, fast: FastVariation, light: Light) -> Flat:
    """The product of both variations.

    Pixels whose fast variation is not known are NO_FLAT_FIELD and DO_NOT_USE.

    Parameters
    ----------
    slow : Flat of (rows, columns)
    fast : FastVariation
    light : Light

    Returns
    -------
    Flat of (rows, columns)
    """
    response, error = fast.over(light)
    missing = np.isnan(response)
    response, error = np.where(missing, 1, response), np.where(missing, 0, error)
    errors = known_or_zero(error * slow.response), known_or_zero(slow.error * response)
    dq = slow.dq | bits_where(missing, UNKNOWN)
    return Flat(slow.response * response, dq, np.sqrt(errors[0] ** 2 + errors[1] ** 2))


def fore_optics(fast: FastVariation, light: Light, error: Doubles | None = None) -> Flat:
    """The flat of the fore optics, which have no slow variation over pixels.

    They set the scale of fluxes: where their response is not known there is none to fall back to.

    Parameters
    ----------
    fast : FastVariation
    light : Light
    error : (rows, columns) float64, optional
        Of the spectrum that the table was multiplied by.

    Returns
    -------
    Flat of (rows, columns)
        With the response NaN where it is DO_NOT_USE.
    """
    shape = light.wavelength.shape
    slow = Flat(np.ones(shape), np.zeros(shape, np.uint32), np.zeros(shape))
    if error is not None:
        slow = Flat(slow.response, slow.dq, error)
    flat = with_fast_variation(slow, fast, light)
    dq = flat.dq | bits_where(np.isnan(flat.response) | (flat.response == 0), UNKNOWN)
    return Flat(np.where(has(dq, dqflags.DO_NOT_USE), np.nan, flat.response), dq, flat.error)


def combined(parts: Sequence[Flat]) -> Flat:
    """The product of flats, with their relative errors added in quadrature.

    Parameters
    ----------
    parts : sequence of Flat of (rows, columns)

    Returns
    -------
    Flat of (rows, columns)
        Pixels that one part does not know have the response 1, those whose response is not positive
        NaN; both are DO_NOT_USE, NO_FLAT_FIELD and UNRELIABLE_FLAT.
    """
    response = reduce(np.multiply, (np.asarray(p.response, np.float64) for p in parts))
    dq: Bits = reduce(np.bitwise_or, (part.dq for part in parts))
    relative = (p.error / np.where(p.response == 0, 1, p.response) for p in parts)
    error = response * np.sqrt(sum(each**2 for each in relative))
    dq = dq | bits_where(has(dq, UNKNOWN), BAD)
    response = np.where(has(dq, dqflags.DO_NOT_USE), 1, response)
    lost = response <= 0
    response = np.where(lost, np.nan, response)
    dq = dq | bits_where(lost, BAD)
    return Flat(response.astype(np.float32), dq, error.astype(np.float32))
