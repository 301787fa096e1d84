"""Subtract the dark current, group by group."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.products import Output
from stpipe.core.ramp_step import RampStep
from stpipe.references.opened import metadata_of
from stpipe.science.arrays import known_or_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from stpipe.engine.band import Band
    from stpipe.models import DataModel, RampModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Bits, Doubles, Floats

__all__ = [
    "DarkCurrentStep",
    "Readout",
    "average_frames",
    "collapse_dq",
    "dark_planes",
    "extrapolate",
    "match_dark",
    "subtract_dark",
]

log = logging.getLogger(__name__)

_OF_INTEGRATIONS = 4  # axes of a dark that depends on the integration


class DarkCurrentStep(RampStep):
    """Subtract the dark current, group by group.

    A dark of single frames is averaged into the groups of the exposure; one that is too short is
    continued in a straight line through its last two groups. A dark with more frames in a group or
    wider gaps than the exposure cannot be used: the step is skipped. Averaging counts every group
    of the dark as one frame. For MIRI the dark depends on
    the integration: the first ones have their own, all later ones share the last.

    `average_dark_current` (else the reference's image or keyword AVDRKCUR) is kept for the Poisson
    variance of the ramp fit. It is documented in e-/s, but the fit adds it to DN/s.

    `dark_output` names a file for the dark as it is subtracted, with the groups of the exposure.

    Differences from jwst 3.0.0: `status` is the one name of this step in metadata, so that a skip
    by parameter reaches S_DARK; a skipped step leaves the average dark current alone, too; averaged
    MIRI darks fill every plane, so that later segments of an exposure do not subtract zeros.
    """

    alias = "dark_current"
    suffix = "dark_current"
    status = "dark_sub"
    halo = 0
    band_mb = 35
    flags = 0
    makes = ("average_dark_current",)
    reference_types = ("dark",)
    prerequisites = ("meta.exposure.nframes", "meta.exposure.groupgap")
    outputs = (Output("dark", "DarkModel", "dark", when="dark_output", file="dark_output"),)
    spec = """
        dark_output = string(default=None)  # File for the dark as it is subtracted
        average_dark_current = float(default=None)  # Average dark current in e-/s, for the variance
    """
    dark_output: str | None
    average_dark_current: float | None

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Not with a dark whose groups are longer or further apart than the exposure's."""
        path = selected["dark"].path
        if path is None:
            return ""
        taken, wanted = Readout.of(metadata_of(path)), Readout.of(meta)
        if taken.divides(wanted):
            return ""
        return f"the dark was taken with {taken}, more than the exposure's {wanted}"

    def process(self, ramp: RampModel) -> RampModel:
        """Subtract the dark, and save it when asked to."""
        if self.dark_output is not None:
            self.add_product("dark", self._dark_as_subtracted(ramp))
        return super().process(ramp)

    def _dark_as_subtracted(self, ramp: RampModel) -> DataModel:
        from stpipe import models

        dark, ngroups = self.references["dark"], ramp.shape[1]
        wanted = Readout.of(ramp)
        saved = models.DarkMIRIModel() if dark.data.ndim == _OF_INTEGRATIONS else models.DarkModel()
        with models.open(self.selected["dark"].path) as reference:
            saved.update(reference)
        saved.data = match_dark(dark.data, Readout.of(dark), wanted, ngroups).astype(np.float32)
        saved.dq = dark.dq
        saved.meta.exposure.nframes, saved.meta.exposure.groupgap = wanted.nframes, wanted.groupgap
        saved.meta.exposure.ngroups = ngroups
        return saved

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Subtract the dark that matches the exposure's readout."""
        dark, exposure = references["dark"], ramp.meta.exposure
        taken = Readout(dark.meta.exposure.nframes, dark.meta.exposure.groupgap)
        wanted = Readout(exposure.nframes, exposure.groupgap)
        nints, ngroups = ramp.data.shape[:2]
        available = len(dark.data) if dark.data.ndim == _OF_INTEGRATIONS else 1
        planes = dark_planes(available, ramp.first + nints, exposure.integration_start)[
            ramp.first :
        ]
        ramp.data = subtract_dark(ramp.data, match_dark(dark.data, taken, wanted, ngroups), planes)
        ramp.pixeldq = ramp.pixeldq | collapse_dq(dark.dq)
        ramp.average_dark_current = self._average(dark, ramp.pixeldq.shape)

    def _average(self, dark: CutReference, shape: tuple[int, ...]) -> Floats:
        """Average dark current (rows, columns): of the user, the reference's image, its keyword."""
        if self.average_dark_current is not None:
            return np.full(shape, self.average_dark_current, dtype=np.float32)
        image = dark.average_dark_current if dark.has("average_dark_current") else None
        if image is None or not image.any():
            return np.full(shape, dark.meta.exposure.average_dark_current or 0, dtype=np.float32)
        if image.shape != shape:
            log.warning("AVDRKCUR of the dark is of shape %s, not %s: unused", image.shape, shape)
            return np.zeros(shape, dtype=np.float32)
        return np.asarray(image, dtype=np.float32)


@dataclass(frozen=True)
class Readout:
    """How frames make up groups."""

    nframes: int  # frames averaged in a group
    groupgap: int  # frames dropped between groups

    @classmethod
    def of(cls, meta: FlatMetadata | DataModel | CutReference) -> Readout:
        """Readout that metadata, by dotted names, tell."""
        get: Callable[[str], Any] = meta.get
        return cls(get("meta.exposure.nframes"), get("meta.exposure.groupgap"))

    def __str__(self) -> str:
        return f"{self.nframes} frames in a group and gaps of {self.groupgap}"

    def divides(self, other: Readout) -> bool:
        """Can groups of `other` be made from groups of this readout?"""
        return self.nframes <= other.nframes and self.groupgap <= other.groupgap

    def frames(self, ngroups: int) -> int:
        """Frames that pass from the start of the first group to the end of the last."""
        return ngroups * self.nframes + (ngroups - 1) * self.groupgap


def dark_planes(available: int, nints: int, first: int | None) -> list[int]:
    """Integration of the dark to subtract from each integration of the exposure.

    `first` is the number (from 1) of the first integration at hand; later segments of an exposure
    use the last integration of the dark throughout.
    """
    last = available - 1
    return [min(i, last) if first in (None, 1) else last for i in range(nints)]


def match_dark(
    dark: Floats | Doubles, taken: Readout, wanted: Readout, ngroups: int
) -> Floats | Doubles:
    """Dark (..., `ngroups`, rows, columns) of the `wanted` readout from one of the readout `taken`.

    NaN counts as no dark current.
    """
    missing = wanted.frames(ngroups) - taken.frames(dark.shape[-3])
    if missing > 0:
        added = math.ceil((missing + taken.groupgap) / (taken.nframes + taken.groupgap))
        log.warning("The dark is too short: continued in a straight line by %d groups", added)
        dark = extrapolate(dark, added)
    dark = known_or_zero(dark)
    if taken == wanted:
        return dark[..., :ngroups, :, :]
    return average_frames(dark, wanted, ngroups)


def extrapolate(dark: Floats | Doubles, ngroups: int) -> Doubles:
    """Dark (..., groups, rows, columns) with `ngroups` more on the line through its last two."""
    last = dark[..., -1:, :, :]
    rate = last - dark[..., -2:-1, :, :]
    steps = np.arange(1, ngroups + 1)[:, None, None]
    return np.concatenate([dark, steps * rate + last], axis=-3)


def average_frames(dark: Floats | Doubles, readout: Readout, ngroups: int) -> Floats:
    """Groups of a `readout` averaged from a dark of frames (..., frames, rows, columns)."""
    stride = readout.nframes + readout.groupgap
    starts = range(0, ngroups * stride, stride)
    groups = [dark[..., s : s + readout.nframes, :, :].mean(axis=-3) for s in starts]
    return np.stack(groups, axis=-3).astype(np.float32)


def collapse_dq(dq: Bits) -> Bits:
    """Flags (rows, columns) of a dark, of all its integrations together where they differ."""
    return np.bitwise_or.reduce(dq[:, 0]) if dq.ndim == _OF_INTEGRATIONS else dq


def subtract_dark(data: Floats, dark: Floats | Doubles, planes: list[int]) -> Floats:
    """Data (integrations, groups, rows, columns) in DN minus the dark of each integration.

    `dark` is (groups, rows, columns), or (integrations, groups, rows, columns) indexed by `planes`.
    """
    cubes = dark if dark.ndim == _OF_INTEGRATIONS else dark[None]
    out = np.empty_like(data)
    for plane, counts, corrected in zip(planes, data, out, strict=True):
        np.subtract(counts, cubes[plane], out=corrected, casting="same_kind")
    return out
