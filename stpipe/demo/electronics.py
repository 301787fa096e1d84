"""From charge to numbers: what a detector's electronics do to the signal of a group.

Every effect undoes one step of the calibration, in reverse order. Where the pipeline's correction
differs from what silicon does (interpixel capacitance at an edge, linearity of an averaged group),
the model follows the correction, so that calibrated and true signals differ by noise alone.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import Detector
from stpipe.demo.drift import make_drift
from stpipe.demo.geometry import is_reference
from stpipe.demo.observation import Observation
from stpipe.demo.pixels import Pixels

__all__ = [
    "GROUPS_TO_SKIP",
    "RESET_GROUPS",
    "WELL_MARGIN",
    "Electronics",
    "ipc_kernel",
    "make_electronics",
    "nonlinear",
    "reset_anomaly",
    "saturation_level",
]

Image = npt.NDArray[np.float32]

WELL_MARGIN: Final = 0.9
"""The saturation reference lies this far up the well: noise must not hide a full pixel."""
GROUPS_TO_SKIP: Final = (1, 2)
"""MIRI: groups spoilt by the reset switch, in the first and in later integrations."""
SWITCH_DECAY: Final = 60.0
"""MIRI: signal missing in the first of them, DN."""
LAST_FRAME: Final = 25.0
"""MIRI: signal that even rows lose, and odd rows gain, in the last group, DN."""
RESET_SIZE: Final = 120.0
RESET_DECAY: Final = 1.5
RESET_GROUPS: Final = 10
"""MIRI: reset anomaly in the first group, DN; its decay, groups; group in which it is over."""
_NEWTON_STEPS: Final = 3
_IPC_STEPS: Final = 4


class Electronics(Protocol):
    """Turns the linear signal of a group into the noiseless numbers that are sent down."""

    def read(self, linear: Image, integration: int, group: int) -> Image:
        """Signal as digitized, from the signal collected; both in DN, shape (ny, nx)."""


def make_electronics(
    observation: Observation, pixels: Pixels, rng: np.random.Generator
) -> Electronics:
    """The electronics of the observation's instrument; `rng` makes them wander."""
    kind = _MidInfrared if observation.detector.is_miri else _NearInfrared
    return kind(observation, pixels, rng)


class _NearInfrared:
    """Nonlinearity, bias, drift of amplifiers and rows, interpixel capacitance."""

    def __init__(self, observation: Observation, pixels: Pixels, rng: np.random.Generator) -> None:
        self.detector = observation.detector
        self.pixels = pixels
        self.drift = make_drift(observation, rng)
        self.reference = is_reference(observation.detector, observation.subarray)

    def read(self, linear: Image, integration: int, group: int) -> Image:  # noqa: ARG002 - all alike
        signal = nonlinear(_clip(linear, self.detector), self.pixels)
        raw = signal + self.pixels.offset + self.drift(group)
        return _couple(raw, self.reference, self.detector.ipc)


class _MidInfrared:
    """Nonlinearity on top of the offset, reset anomaly, switch decay, last frame, capacitance."""

    def __init__(self, observation: Observation, pixels: Pixels, rng: np.random.Generator) -> None:
        self.observation = observation
        self.detector = observation.detector
        self.pixels = pixels
        self.drift = make_drift(observation, rng)
        self.reference = is_reference(observation.detector, observation.subarray)

    def read(self, linear: Image, integration: int, group: int) -> Image:
        # The pipeline takes the drift out last, from linearized data: so it goes in first.
        collected = linear + self.pixels.offset + self.drift(group)
        collected -= _switch_decay(integration, group)
        raw = nonlinear(_clip(collected, self.detector), self.pixels)
        raw += reset_anomaly(linear.shape, integration, group)
        if group == self.observation.ngroups - 1:
            raw[0::2] -= np.float32(LAST_FRAME)
            raw[1::2] += np.float32(LAST_FRAME)
        return _couple(raw, self.reference, self.detector.ipc)


def nonlinear(linear: Image, pixels: Pixels) -> Image:
    """Signal that the linearity polynomial maps to `linear`, found with Newton's method; DN."""
    signal = linear.copy()
    for _ in range(_NEWTON_STEPS):
        excess = signal * (1 + signal * (pixels.quadratic + signal * pixels.cubic)) - linear
        slope = 1 + signal * (2 * pixels.quadratic + 3 * signal * pixels.cubic)
        signal -= excess / slope
    return signal


def saturation_level(detector: Detector, pixels: Pixels) -> Image:
    """Number, in raw DN, from which on a pixel counts as saturated, shape (ny, nx)."""
    signal = nonlinear(np.full_like(pixels.gain, WELL_MARGIN * _well(detector)), pixels)
    if not detector.is_miri:
        signal += pixels.offset
    return np.floor(signal)


def reset_anomaly(shape: tuple[int, int], integration: int, group: int) -> Image:
    """MIRI: what a reset leaves behind in a group, DN; it differs between odd and even rows."""
    if group >= RESET_GROUPS:
        return np.zeros(shape, np.float32)
    size = RESET_SIZE * np.exp(-group / RESET_DECAY) * (1.0 if integration == 0 else 0.7)
    anomaly = np.full(shape, size, np.float32)
    anomaly[1::2] *= np.float32(0.8)
    return anomaly


def ipc_kernel(detector: Detector) -> npt.NDArray[np.float32]:
    """Kernel that takes interpixel capacitance out again, shape (3, 3), sum 1."""
    c = detector.ipc
    return np.array([[0, -c, 0], [-c, 1 + 4 * c, -c], [0, -c, 0]], np.float32)


def _well(detector: Detector) -> float:
    return detector.full_well / detector.gain


def _clip(linear: Image, detector: Detector) -> Image:
    return np.minimum(linear, np.float32(_well(detector)))


def _switch_decay(integration: int, group: int) -> np.float32:
    spoilt = GROUPS_TO_SKIP[min(integration, 1)]
    return np.float32(SWITCH_DECAY / (1 + group) if group < spoilt else 0.0)


def _couple(raw: Image, reference: npt.NDArray[np.bool_], coupling: float) -> Image:
    """Image that the IPC correction maps to `raw`: the fixed point of raw + (1 - kernel) image.

    As in the correction, reference pixels take no part and nothing lies beyond the edges.
    """
    if coupling == 0.0:
        return raw
    coupled = raw
    for _ in range(_IPC_STEPS):
        inside = np.where(reference, np.float32(0), coupled)
        lost = 4 * inside
        lost[1:] -= inside[:-1]
        lost[:-1] -= inside[1:]
        lost[:, 1:] -= inside[:, :-1]
        lost[:, :-1] -= inside[:, 1:]
        coupled = np.where(reference, raw, raw - np.float32(coupling) * lost)
    return coupled
