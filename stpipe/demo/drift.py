"""The wander of the offset from group to group that reference pixels measure.

Only what the reference-pixel step takes out of an observation drifts in it: nothing in a subarray
without reference pixels, nor in MIRI subarrays, which that step leaves alone.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import FULL
from stpipe.demo.geometry import amplifiers, detector_columns, detector_rows, is_lit
from stpipe.demo.observation import Observation

__all__ = ["Drift", "make_drift"]

Image = npt.NDArray[np.float32]

ROW_WAVE: Final = 2.0
ROW_PERIOD: Final = 900.0
"""Wander along the slow readout that side reference pixels see: DN, rows."""


class Drift(Protocol):
    """How far the offset has moved."""

    def __call__(self, group: int) -> Image:
        """Offset of a group against that of the reference files, DN, shape (ny, nx) or ()."""


def make_drift(observation: Observation, rng: np.random.Generator) -> Drift:
    """The drift that can be taken out of this observation."""
    detector, subarray = observation.detector, observation.subarray
    if detector.is_miri:
        return _RowDrift(observation, rng) if subarray.name == FULL else _no_drift
    if is_lit(detector, subarray).all():
        return _no_drift
    return _ColumnDrift(observation, rng)


def _no_drift(group: int) -> Image:  # noqa: ARG001 - stands in for a drift
    return np.zeros((), np.float32)


class _ColumnDrift:
    """Near infrared: odd and even columns of each amplifier; with four of them rows wander too."""

    def __init__(self, observation: Observation, rng: np.random.Generator) -> None:
        detector, subarray = observation.detector, observation.subarray
        parity = detector_columns(detector, subarray) % 2
        self.part = 2 * amplifiers(detector, subarray) + parity
        self.parts = 2 * subarray.noutputs
        self.rows = detector_rows(detector, subarray) if subarray.noutputs > 1 else None
        self.size = detector.drift
        self.rng = rng

    def __call__(self, group: int) -> Image:  # noqa: ARG002 - every group is independent
        offsets: Image = self.rng.normal(0.0, self.size, self.parts).astype(np.float32)
        drift: Image = offsets[self.part]
        if self.rows is None:
            return drift
        phase = self.rng.uniform(0.0, 2 * np.pi)
        wave = ROW_WAVE * np.sin(2 * np.pi * self.rows / ROW_PERIOD + phase)
        return np.asarray(drift + wave, np.float32)


class _RowDrift:
    """MIRI: odd and even rows of each of the four outputs, measured against the first group."""

    def __init__(self, observation: Observation, rng: np.random.Generator) -> None:
        detector, subarray = observation.detector, observation.subarray
        parity = detector_rows(detector, subarray) % 2
        self.part = 2 * amplifiers(detector, subarray) + parity
        self.parts = 2 * subarray.noutputs
        self.size = detector.drift
        self.rng = rng

    def __call__(self, group: int) -> Image:
        size = self.size if group > 0 else 0.0
        offsets: Image = self.rng.normal(0.0, size, self.parts).astype(np.float32)
        drift: Image = offsets[self.part]
        return drift
