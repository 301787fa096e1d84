"""The properties of every pixel of a detector: gain, noise, offset, dark, linearity, defects.

A property depends on the pixel's place on the detector and on nothing else (it is hashed from it),
so that a subarray is exactly the cut of the full frame, whoever asks for it and when. There is one
exception: the columns of NIRSpec subarrays that stand in for reference pixels have no dark current,
because the reference-pixel step, which comes before the dark is subtracted, would spread it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import Detector, Subarray
from stpipe.demo.geometry import detector_columns, is_lit, is_reference, science_positions
from stpipe.models import dqflags

__all__ = ["DARK_SETTLING", "Pixels", "dark_charge", "make_pixels"]

Image = npt.NDArray[np.float32]
Deviates = npt.NDArray[np.float64]

DEFECTS: Final = 0.002
"""Fraction of dead pixels, and again of hot ones."""
HOT_DARK: Final = 40.0
"""Dark current of a hot pixel over that of its neighbours."""
DARK_SETTLING: Final = 2.0
"""Time in frames, and size in frames of dark, of the transient at the start of a ramp."""
RESPONSE_SCATTER: Final = 0.03
"""How much pixels differ in their response to light."""
QUADRATIC: Final = 6e-7
CUBIC: Final = 4e-12
"""Nonlinearity: true = x + QUADRATIC x^2 + CUBIC x^3, x in DN."""


@dataclass(frozen=True)
class Pixels:
    """Maps of shape (ny, nx) that describe the pixels of one subarray."""

    gain: Image
    """e-/DN"""
    read_noise: Image
    """Noise of a single read, DN"""
    offset: Image
    """Signal of the empty pixel, DN"""
    dark: Image
    """Dark current, e-/frame"""
    quadratic: Image
    """Second coefficient of the linearity polynomial, 1/DN"""
    cubic: Image
    """Third coefficient of the linearity polynomial, 1/DN^2"""
    response: Image
    """Fraction of the light that becomes charge, over that of the average pixel"""
    dq: npt.NDArray[np.uint32]
    """Defects and reference pixels, in standard bits"""


def make_pixels(detector: Detector, subarray: Subarray) -> Pixels:
    """Look up the pixels of a subarray."""
    reference = is_reference(detector, subarray)
    dq = _defects(detector, subarray, reference)

    def spread(mean: float, fraction: float, what: str) -> Image:
        scatter = 1.0 + fraction * _normal(detector, subarray, what)
        return (mean * scatter).astype(np.float32)

    def sensitive(values: Image) -> Image:
        return np.where(reference, np.float32(0), values)

    dark = np.where(is_lit(detector, subarray), spread(detector.dark, 0.1, "dark"), np.float32(0))
    dark[(dq & dqflags.HOT) > 0] *= np.float32(HOT_DARK)
    return Pixels(
        gain=spread(detector.gain, 0.01, "gain"),
        read_noise=spread(detector.read_noise, 0.05, "read noise"),
        offset=_offset(detector, subarray),
        dark=dark,
        quadratic=sensitive(spread(QUADRATIC, 0.05, "linearity")),
        cubic=sensitive(np.full(subarray.shape, CUBIC, np.float32)),
        response=spread(1.0, RESPONSE_SCATTER, "response"),
        dq=dq,
    )


def dark_charge(pixels: Pixels, frames: int) -> Image:
    """Mean dark charge in e- after a number of frames, shape (ny, nx)."""
    transient = DARK_SETTLING * (1.0 - np.exp(-frames / DARK_SETTLING))
    return pixels.dark * np.float32(frames + transient)


def _offset(detector: Detector, subarray: Subarray) -> Image:
    """Fixed pattern: noise from pixel to pixel and stripes along the slow readout."""
    scatter = 0.02 * detector.offset * _normal(detector, subarray, "offset")
    stripes = 40.0 * (detector_columns(detector, subarray) % 2)
    return (detector.offset + scatter + stripes).astype(np.float32)


def _defects(
    detector: Detector, subarray: Subarray, reference: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint32]:
    chance = _uniform(detector, subarray, "defects")
    bad = chance < DEFECTS
    hot = ~bad & (chance < 2 * DEFECTS) & ~reference
    dq = np.where(bad, dqflags.DO_NOT_USE, 0)
    dq |= np.where(bad & ~reference, dqflags.DEAD, 0)
    dq |= np.where(bad & reference, dqflags.BAD_REF_PIXEL, 0)
    dq |= np.where(hot, dqflags.HOT, 0)
    dq |= np.where(reference, dqflags.REFERENCE_PIXEL, 0)
    return dq.astype(np.uint32)


def _normal(detector: Detector, subarray: Subarray, what: str) -> Deviates:
    """Standard normal deviate of every pixel (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - _uniform(detector, subarray, what)))
    angle = 2.0 * np.pi * _uniform(detector, subarray, f"{what} angle")
    return np.asarray(radius * np.cos(angle), np.float64)


def _uniform(detector: Detector, subarray: Subarray, what: str) -> Deviates:
    """Deviate in [0, 1) of every pixel: the SplitMix64 hash of its place (Steele et al. 2014)."""
    rows, columns = science_positions(subarray)
    place = (rows * detector.frame.xsize + columns).astype(np.uint64)
    key = np.uint64(zlib.crc32(f"{detector.name} {what}".encode()))
    state = ((key << np.uint64(32)) + place) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = (state ^ (state >> np.uint64(31))) >> np.uint64(11)
    return state.astype(np.float64) * 2.0**-53
