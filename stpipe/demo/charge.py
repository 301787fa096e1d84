"""Fill the pixels: light and dark arrive at random, cosmic rays at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.electronics import GROUPS_TO_SKIP
from stpipe.demo.geometry import is_lit
from stpipe.demo.observation import Observation
from stpipe.demo.pixels import Pixels, dark_charge
from stpipe.demo.truth import COSMIC_RAY
from stpipe.models import dqflags

__all__ = ["cosmic_rays", "fill"]

Image = npt.NDArray[np.float32]

HITS: Final = 0.002
"""Cosmic rays per pixel and integration."""
HIT_CHARGES: Final = (60.0, 30_000.0)
"""Smallest and largest hit, e-; evenly spread in the logarithm."""


def cosmic_rays(
    observation: Observation, pixels: Pixels, rng: np.random.Generator
) -> npt.NDArray[np.void]:
    """Draw hits on good, lit pixels, at most one for a pixel and integration; dtype COSMIC_RAY."""
    good = is_lit(observation.detector, observation.subarray) & (pixels.dq == dqflags.GOOD)
    rows, columns = np.nonzero(good)
    places = rows.size * observation.nints
    groups = _groups_hit(observation)
    count = round(HITS * places) if len(groups) else 0
    integration, pixel = np.divmod(np.sort(rng.choice(places, count, replace=False)), rows.size)
    hits = np.zeros(count, COSMIC_RAY)
    hits["integration"] = integration
    hits["group"] = rng.choice(groups, count) if count else 0
    hits["y"], hits["x"] = rows[pixel], columns[pixel]
    hits["electrons"] = HIT_CHARGES[0] * (HIT_CHARGES[1] / HIT_CHARGES[0]) ** rng.random(count)
    return hits


def fill(
    observation: Observation,
    pixels: Pixels,
    light: Image,
    hits: npt.NDArray[np.void],
    rng: np.random.Generator,
) -> Iterator[tuple[Image, Image]]:
    """Charge of the groups of one integration, in order.

    Yields
    ------
    mean, first
        Charge averaged over the frames of the group, and that of its first frame; e-, (ny, nx).
        They are the same array when a group is one frame.
    """
    charge = np.zeros_like(light)
    frame = 0

    def wait(frames: int) -> Image:
        nonlocal charge, frame
        dark = dark_charge(pixels, frame + frames) - dark_charge(pixels, frame)
        arrived = rng.poisson(light * np.float32(frames * observation.subarray.frame_time) + dark)
        charge = charge + arrived.astype(np.float32)
        frame += frames
        return charge

    for group in range(observation.ngroups):
        if group and observation.pattern.groupgap:
            wait(observation.pattern.groupgap)
        charge = _struck(charge, hits[hits["group"] == group])
        frames = [wait(1) for _ in range(observation.pattern.nframes)]
        yield np.mean(frames, axis=0) if len(frames) > 1 else frames[0], frames[0]


def _struck(charge: Image, hits: npt.NDArray[np.void]) -> Image:
    struck = charge.copy()
    struck[hits["y"], hits["x"]] += hits["electrons"]
    return struck


def _groups_hit(observation: Observation) -> range:
    """Groups in which a hit shows: later than the first good group, no later than the last."""
    if observation.detector.is_miri:
        return range(max(GROUPS_TO_SKIP) + 1, observation.ngroups - 1)
    return range(1, observation.ngroups)
