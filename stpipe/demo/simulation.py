"""Take an exposure: light, cosmic rays and dark fill the pixels, the electronics read them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.electronics import make_electronics, saturation_level
from stpipe.demo.metadata import group_table, integration_times, keywords
from stpipe.demo.observation import Observation, plan
from stpipe.demo.scene import observe
from stpipe.demo.silicon import Pixels, dark_charge, make_pixels
from stpipe.demo.truth import COSMIC_RAY, Truth
from stpipe.models import Level1bModel, dqflags

__all__ = ["Simulation", "expose", "simulate"]

Image = npt.NDArray[np.float32]

COSMIC_RAYS: Final = 0.002
"""Hits per pixel and integration."""
COSMIC_RAY_CHARGES: Final = (300.0, 30_000.0)
"""Smallest and largest hit, e-."""
_LARGEST = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Simulation:
    """An exposure and the truth about it."""

    observation: Observation
    exposure: Level1bModel
    truth: Truth


def simulate(instrument: str, **options: Any) -> Simulation:
    """Simulate an exposure, planned by names.

    Parameters
    ----------
    instrument
        NIRCAM, NIRISS, NIRSPEC or MIRI.
    **options
        `subarray` (FULL for the whole detector), `readpatt`, `nints`, `ngroups` and `seed`, as
        `stpipe.demo.plan` takes them.

    Examples
    --------
    >>> exposure, truth = simulate("NIRCAM", subarray="FULL", ngroups=10, seed=3)  # doctest: +SKIP
    """
    return expose(plan(instrument, **options))


def expose(observation: Observation) -> Simulation:
    """Take the exposure that was planned. Memory: the exposure itself and some twenty images."""
    rng = np.random.default_rng([observation.seed, zlib.crc32(observation.root.encode())])
    detector, subarray = observation.detector, observation.subarray
    pixels = make_pixels(detector, subarray)
    dead = (pixels.dq & dqflags.DEAD) > 0
    light = np.where(dead, 0.0, observe(detector, subarray, rng)).astype(np.float32)
    hits = _cosmic_rays(observation, pixels, rng)
    data, zeroframe = _read_out(observation, pixels, light, hits, rng)
    truth = Truth(
        rate=light / pixels.gain * np.float32(scale_of_gain(observation)),
        first_saturated=_first_saturated(data, saturation_level(detector, pixels)),
        dq=pixels.dq,
        cosmic_rays=hits,
    )
    return Simulation(observation, _level1b(observation, data, zeroframe), truth)
