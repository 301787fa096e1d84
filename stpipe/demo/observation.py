"""What is asked of the telescope: instrument, subarray, readout, and the names that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from stpipe.demo.detectors import (
    FULL,
    MRS,
    Detector,
    ReadPattern,
    Subarray,
    find_detector,
    find_pattern,
    find_subarray,
)
from stpipe.demo.field import Pointing
from stpipe.demo.lrs import Slit
from stpipe.demo.mrs.scene import DITHERS as MRS_DITHERS
from stpipe.demo.mrs.scene import Dither
from stpipe.demo.nirspec.settings import (
    BRIGHT_OBJECT,
    FIXED_SLITS,
    INTEGRAL_FIELD,
    SHUTTERS,
    Setting,
)

__all__ = [
    "DEMO",
    "DITHERS",
    "FIELD",
    "FULL_FRAMES",
    "MIRI_MRS",
    "NIRSPEC_BOTS",
    "NIRSPEC_FS",
    "NIRSPEC_IFU",
    "NIRSPEC_MOS",
    "PROGRAM",
    "SPECTRA",
    "Observation",
    "plan",
]

PROGRAM: Final = "01234"
"""Proposal that all demo exposures belong to."""
FIELD: Final = 5
"""Number of the observation of the field of stars."""
STAR: Final = 6
"""Number of the observation of the spectra of a star."""


@dataclass(frozen=True)
class Observation:
    """One exposure as planned. The same observation always gives the same exposure."""

    detector: Detector
    subarray: Subarray
    pattern: ReadPattern
    nints: int
    ngroups: int
    seed: int = 0
    exposure: int = 1
    pointing: Pointing | None = None  # at the field of stars; None: stars of its own
    spectrum: Slit | Setting | Dither | None = None  # of MIRI's prism, NIRSpec, or MIRI's MRS

    @property
    def frames(self) -> int:
        """Frames from the reset to the end of the last group."""
        return self.ngroups * self.pattern.nframes + (self.ngroups - 1) * self.pattern.groupgap

    @property
    def group_time(self) -> float:
        """Time from group to group, s."""
        return (self.pattern.nframes + self.pattern.groupgap) * self.subarray.frame_time

    @property
    def gain_factor(self) -> float | None:
        """Keyword GAINFACT of the gain reference: set where a subarray has a gain of its own."""
        return None if self.subarray.name == FULL else self.detector.gain_factor

    @property
    def number(self) -> int:
        """Number of the observation in the proposal: one for each instrument, the field, the star."""
        if isinstance(self.spectrum, (Setting, Dither)):
            return self.spectrum.number
        if self.spectrum:
            return STAR
        return FIELD if self.pointing else _OBSERVATION_NUMBERS[self.detector.instrument]

    @property
    def root(self) -> str:
        """File name without suffix, built as the archive does."""
        visit = f"jw{PROGRAM}{self.number:03d}001"
        return f"{visit}_02101_{self.exposure:05d}_{self.detector.name.lower()}"


_OBSERVATION_NUMBERS: Final = MappingProxyType(
    {"NIRCAM": 1, "NIRISS": 2, "NIRSPEC": 3, "MIRI": 4},
)


def plan(
    instrument: str,
    *,
    subarray: str | None = None,
    readpatt: str | None = None,
    nints: int = 1,
    ngroups: int = 10,
    seed: int = 0,
) -> Observation:
    """Plan an exposure by names; by default the smallest subarray, read as fast as it can be.

    Raises
    ------
    stpipe.errors.UsageError
        The demo does not have that instrument, subarray or readout pattern.
    """
    detector = find_detector(instrument)
    return Observation(
        detector=detector,
        subarray=find_subarray(detector, subarray or detector.subarrays[0].name),
        pattern=find_pattern(detector, readpatt or detector.patterns[0].name),
        nints=nints,
        ngroups=ngroups,
        seed=seed,
    )


DEMO: Final = (
    plan("NIRCAM", nints=1, ngroups=10, seed=1),
    replace(plan("NIRCAM", readpatt="BRIGHT2", nints=2, ngroups=6, seed=2), exposure=2),
    plan("NIRISS", nints=3, ngroups=8, seed=3),
    plan("NIRSPEC", readpatt="NRS", nints=2, ngroups=6, seed=4),
    plan("MIRI", nints=2, ngroups=12, seed=5),
)
"""The exposures of `make demo`."""

DITHERS: Final = tuple(
    replace(
        plan("NIRCAM", subarray="SUB320", ngroups=6, seed=8),
        exposure=number,
        pointing=Pointing(*offsets),
    )
    for number, offsets in enumerate(
        (
            (0.0, 0.0, 0.0, 0.0),
            (0.81, 0.34, 0.021, -0.034),
            (-0.47, 0.72, -0.038, 0.012),
            (0.29, -0.68, 0.027, 0.041),
        ),
        1,
    )
)
"""Four exposures of a field of stars, for a mosaic."""

SPECTRA: Final = (
    replace(
        plan("MIRI", subarray="SLITLESSPRISM", nints=3, ngroups=20, seed=9),
        spectrum=Slit("SLITLESS"),
    ),
    replace(
        plan("MIRI", subarray=FULL, ngroups=8, seed=10),
        exposure=2,
        spectrum=Slit("FIXEDSLIT", 0.4),
    ),
)
"""A time series and an exposure in the slit of MIRI's prism."""

NIRSPEC_FS: Final = (
    replace(plan("NIRSPEC", subarray="ALLSLITS", ngroups=8, seed=11), spectrum=FIXED_SLITS),
)
"""The fixed slits of NIRSpec: a star in one, a nebula in the others."""

NIRSPEC_MOS: Final = (
    replace(plan("NIRSPEC", subarray="SHUTTERS", ngroups=8, seed=12), spectrum=SHUTTERS),
)
"""Shutters of NIRSpec: two stars, a nebula and the sky."""

NIRSPEC_BOTS: Final = (
    replace(
        plan("NIRSPEC", subarray="SUB2048", nints=6, ngroups=8, seed=13), spectrum=BRIGHT_OBJECT
    ),
)
"""A time series of a star in the wide slit of NIRSpec."""

NIRSPEC_IFU: Final = (
    replace(plan("NIRSPEC", subarray=FULL, ngroups=4, seed=14), spectrum=INTEGRAL_FIELD),
)
"""A nebula through the integral-field unit of NIRSpec."""

MIRI_MRS: Final = tuple(
    replace(
        plan("MIRI", subarray=FULL, ngroups=8, seed=15),
        detector=MRS,
        exposure=number,
        spectrum=dither,
    )
    for number, dither in enumerate(MRS_DITHERS, 1)
)
"""Four exposures of a star before a nebula, for cubes."""

FULL_FRAMES: Final = (
    replace(plan("NIRCAM", subarray=FULL, nints=1, ngroups=10, seed=6), exposure=3),
    replace(plan("MIRI", subarray=FULL, nints=2, ngroups=12, seed=7), exposure=2),
)
"""Two exposures of the size that observatories take, for benchmarks."""
