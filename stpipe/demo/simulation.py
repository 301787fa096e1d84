"""Take an exposure: light, cosmic rays and dark fill the pixels, the electronics read them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stpipe.demo import lrs
from stpipe.demo.charge import cosmic_rays, fill
from stpipe.demo.electronics import make_electronics, saturation_level
from stpipe.demo.geometry import is_reference
from stpipe.demo.headers import ROLL, group_table, integration_times, keywords
from stpipe.demo.mrs import light as slices
from stpipe.demo.mrs.scene import Dither
from stpipe.demo.nirspec import light as slits
from stpipe.demo.observation import Observation, plan
from stpipe.demo.optics import megajansky
from stpipe.demo.pixels import Pixels, make_pixels
from stpipe.demo.scene import observe
from stpipe.demo.truth import Truth
from stpipe.models import Level1bModel, dqflags

__all__ = ["Simulation", "expose", "simulate"]

Image = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint16]

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
        What `stpipe.demo.plan` takes: `subarray` ("FULL" for the whole detector), `readpatt`,
        `nints`, `ngroups` and `seed`.
    """
    return expose(plan(instrument, **options))


def expose(observation: Observation) -> Simulation:
    """Take an exposure. Needs the memory of the exposure itself and of some twenty images."""
    rng = np.random.default_rng([observation.seed, zlib.crc32(observation.root.encode())])
    detector, subarray = observation.detector, observation.subarray
    pixels = make_pixels(detector, subarray)
    light = _detected(observation, pixels, rng)
    hits = cosmic_rays(observation, pixels, rng)
    data, zeroframe = _read_out(observation, pixels, light, hits, rng)
    truth = Truth(
        rate=light / pixels.gain * np.float32(observation.gain_factor or 1.0),
        first_saturated=_first_saturated(observation, pixels, data),
        dq=pixels.dq,
        cosmic_rays=hits,
    )
    return Simulation(observation, _level1b(observation, data, zeroframe), truth)


def _detected(observation: Observation, pixels: Pixels, rng: np.random.Generator) -> Image:
    """Light that is turned into charge, e-/s: dead pixels see nothing."""
    detector, subarray = observation.detector, observation.subarray
    spectrum = observation.spectrum
    if spectrum is None:
        light = observe(detector, subarray, rng, observation.pointing)
    elif isinstance(spectrum, lrs.Slit):
        light = lrs.light(detector, subarray, spectrum, megajansky(detector))
    elif isinstance(spectrum, Dither):
        light = slices.light(detector, spectrum, ROLL)
    else:
        light = slits.light(detector, subarray, spectrum)
    return np.where(pixels.dq & dqflags.DEAD, 0.0, light * pixels.response).astype(np.float32)


def _read_out(
    observation: Observation,
    pixels: Pixels,
    light: Image,
    hits: npt.NDArray[np.void],
    rng: np.random.Generator,
) -> tuple[Counts, Counts]:
    """All groups (nints, ngroups, ny, nx), and the first frames (nints, ny, nx)."""
    electronics = make_electronics(observation, pixels, rng)
    nints, ngroups, nframes = observation.nints, observation.ngroups, observation.pattern.nframes
    data = np.empty((nints, ngroups, *observation.subarray.shape), np.uint16)
    zeroframe = np.empty((nints, *observation.subarray.shape), np.uint16)

    def read(charge: Image, integration: int, group: int, frames: int) -> Counts:
        raw = electronics.read(charge / pixels.gain, integration, group)
        return _digitize(raw, pixels.read_noise / np.float32(np.sqrt(frames)), rng)

    for i in range(nints):
        struck = hits[hits["integration"] == i]
        for k, (charge, first) in enumerate(fill(observation, pixels, light, struck, rng)):
            data[i, k] = read(charge, i, k, nframes)
            if k == 0:
                zeroframe[i] = data[i, 0] if nframes == 1 else read(first, i, 0, 1)
    return data, zeroframe


def _digitize(raw: Image, noise: Image, rng: np.random.Generator) -> Counts:
    noisy = raw + noise * rng.standard_normal(raw.shape, np.float32)
    return np.clip(np.rint(noisy), 0, _LARGEST).astype(np.uint16)


def _first_saturated(
    observation: Observation, pixels: Pixels, data: Counts
) -> npt.NDArray[np.int16]:
    level = saturation_level(observation.detector, pixels)
    level[is_reference(observation.detector, observation.subarray)] = np.inf
    full = data >= level
    first = np.where(full.any(axis=1), full.argmax(axis=1), observation.ngroups)
    return first.astype(np.int16)


def _level1b(observation: Observation, data: Counts, zeroframe: Counts) -> Level1bModel:
    model = Level1bModel()
    for attribute, value in keywords(observation).items():
        model.set(attribute, value)
    model.data = data
    model.group = group_table(observation)
    model.int_times = integration_times(observation)
    if model.meta.exposure.zero_frame:
        model.zeroframe = zeroframe
    return model
