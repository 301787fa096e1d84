"""The four demo detectors: what is read out, how fast, and how each one behaves.

Geometry, readout directions, frame times and readout patterns are those of the real instruments
(JWST user documentation, the SIAF apertures and level-1b headers). The electrical numbers are
rounded, typical ones, except the dark current: these detectors are warm, so that the dark matters
in exposures of a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from stpipe.errors import UsageError, did_you_mean

__all__ = [
    "DETECTORS",
    "FULL",
    "MRS",
    "Detector",
    "ReadPattern",
    "Subarray",
    "find_detector",
    "find_pattern",
    "find_subarray",
]

FULL: Final = "FULL"


@dataclass(frozen=True)
class Subarray:
    """A rectangle of the detector in the science frame; `xstart`, `ystart` count from 1."""

    name: str
    xstart: int
    ystart: int
    xsize: int
    ysize: int
    frame_time: float
    noutputs: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.ysize, self.xsize


@dataclass(frozen=True)
class ReadPattern:
    """A group is the average of `nframes` frames; `groupgap` frames are dropped after it."""

    name: str
    nframes: int = 1
    groupgap: int = 0


@dataclass(frozen=True)
class Detector:
    """One detector and its electronics. `dark` is in e-/frame, `ipc` a fraction of the signal."""

    instrument: str
    name: str
    fastaxis: int
    slowaxis: int
    gain: float
    """e-/DN"""
    read_noise: float
    """Noise of a single read, DN"""
    offset: float
    """Signal of an empty pixel, DN"""
    full_well: float
    """e-"""
    dark: float
    ipc: float
    drift: float
    """Wander of the offset from group to group, DN"""
    gain_factor: float | None
    """Gain of a subarray over that of the full frame, where they differ"""
    subarrays: tuple[Subarray, ...]
    patterns: tuple[ReadPattern, ...]

    @property
    def is_miri(self) -> bool:
        """MIRI has other detectors, and other steps, than the three near-infrared instruments."""
        return self.instrument == "MIRI"

    @property
    def frame(self) -> Subarray:
        """The full frame."""
        return find_subarray(self, FULL)


_NIRCAM = Detector(
    instrument="NIRCAM",
    name="NRCA1",
    fastaxis=-1,
    slowaxis=2,
    gain=2.05,
    read_noise=5.5,
    offset=9000.0,
    full_well=85_000.0,
    dark=2.0,
    ipc=0.005,
    drift=8.0,
    gain_factor=None,
    subarrays=(
        Subarray("SUB160", 1889, 1889, 160, 160, 0.27864),
        Subarray("SUB320", 1729, 1729, 320, 320, 1.06904),
        Subarray("SUBGRISM256", 1, 1, 2048, 256, 1.34669, 4),
        Subarray(FULL, 1, 1, 2048, 2048, 10.73677, 4),
    ),
    patterns=(
        ReadPattern("RAPID"),
        ReadPattern("BRIGHT1", 1, 1),
        ReadPattern("BRIGHT2", 2, 0),
        ReadPattern("SHALLOW4", 4, 1),
    ),
)

_NIRISS = Detector(
    instrument="NIRISS",
    name="NIS",
    fastaxis=-2,
    slowaxis=-1,
    gain=1.62,
    read_noise=7.0,
    offset=11_000.0,
    full_well=75_000.0,
    dark=1.5,
    ipc=0.0,
    drift=6.0,
    gain_factor=None,
    subarrays=(
        Subarray("SUB80", 1045, 1, 80, 80, 0.07544),
        Subarray("SUB256", 1793, 1793, 256, 256, 0.70992),
        Subarray(FULL, 1, 1, 2048, 2048, 10.73677, 4),
    ),
    patterns=(ReadPattern("NISRAPID"), ReadPattern("NIS", 4, 0)),
)

_NIRSPEC = Detector(
    instrument="NIRSPEC",
    name="NRS1",
    fastaxis=2,
    slowaxis=1,
    gain=1.42,
    read_noise=6.0,
    offset=9000.0,
    full_well=72_000.0,
    dark=1.0,
    ipc=0.0,
    drift=5.0,
    gain_factor=1.43,
    subarrays=(
        Subarray("SUB512", 1025, 957, 512, 32, 0.22572),
        Subarray("SUB32", 1399, 975, 32, 32, 0.01504),
        Subarray("SUB2048", 1, 957, 2048, 32, 0.90156),
        Subarray("ALLSLITS", 1, 897, 2048, 256, 5.49132),
        # Of the demo alone: the telescope reads shutters in full frames.
        Subarray("SHUTTERS", 1, 641, 2048, 256, 5.49132),
        Subarray(FULL, 1, 1, 2048, 2048, 10.73677, 4),
    ),
    patterns=(ReadPattern("NRSRAPID"), ReadPattern("NRS", 4, 0)),
)

_MIRI = Detector(
    instrument="MIRI",
    name="MIRIMAGE",
    fastaxis=1,
    slowaxis=2,
    gain=3.5,
    read_noise=4.5,
    offset=8000.0,
    full_well=170_000.0,
    dark=4.0,
    ipc=0.004,
    drift=5.0,
    gain_factor=None,
    subarrays=(
        Subarray("SUB64", 1, 779, 72, 64, 0.08500),
        Subarray("SUB128", 1, 889, 136, 128, 0.11904),
        Subarray("SUB256", 413, 51, 256, 256, 0.29952),
        Subarray("SLITLESSPRISM", 1, 529, 72, 416, 0.15904),
        Subarray("BRIGHTSKY", 457, 51, 512, 512, 0.86528),
        Subarray(FULL, 1, 1, 1032, 1024, 2.77504, 4),
    ),
    patterns=(ReadPattern("FASTR1"),),
)

MRS: Final = replace(
    _MIRI, name="MIRIFUSHORT", subarrays=(Subarray(FULL, 1, 1, 1032, 1024, 2.77504, 4),)
)
"""The short detector of MIRI's medium-resolution spectrometer."""

DETECTORS: Final = MappingProxyType(
    {detector.instrument: detector for detector in (_NIRCAM, _NIRISS, _NIRSPEC, _MIRI)}
)


def find_detector(instrument: str) -> Detector:
    """The demo detector of an instrument, by name in any case."""
    try:
        return DETECTORS[instrument.upper()]
    except KeyError:
        raise UsageError(_unknown("instrument", instrument, tuple(DETECTORS))) from None


def find_subarray(detector: Detector, name: str) -> Subarray:
    """A subarray of the detector by name; FULL is one of them."""
    known = {subarray.name: subarray for subarray in detector.subarrays}
    try:
        return known[name.upper()]
    except KeyError:
        raise UsageError(_unknown(f"{detector.name} subarray", name, tuple(known))) from None


def find_pattern(detector: Detector, name: str) -> ReadPattern:
    """A readout pattern of the detector by name."""
    known = {pattern.name: pattern for pattern in detector.patterns}
    try:
        return known[name.upper()]
    except KeyError:
        raise UsageError(_unknown(f"{detector.name} readout pattern", name, tuple(known))) from None


def _unknown(what: str, found: str, known: tuple[str, ...]) -> str:
    hint = did_you_mean(found.upper(), known)
    return f'The demo has no {what} "{found}"{hint}; it has {", ".join(known)}.'
