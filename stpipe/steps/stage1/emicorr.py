"""Subtract the electromagnetic interference that MIRI's own electronics leave in ramps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.errors import ReferenceMissing, Skip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from stpipe.models.protocols import FlatMetadata, Meta, Ramp
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

__all__ = [
    "Clocks",
    "EmiCorrStep",
    "Wave",
    "WaveSearch",
    "fit_jointly",
    "fit_sequentially",
    "waves_of",
]

log = logging.getLogger(__name__)

FEWEST_GROUPS = 3
SECONDS_PER_CLOCK = 1e-5
ROWS = 1024  # of the detector
CLOCKS_PER_MISSING_ROW = 7  # of a subarray, between frames
CHANNELS = 4  # read at the same time: neighbouring columns
BAD_QUADS = (1, 2)  # groups of four columns beside the reference pixels
TRIALS = 500  # phases that are tried
MOST_BINS = 501
BINS_AT_MOST = 500
LAST_QUAD = 258  # where the subarray reaches the reference pixels on the right
READ_PATTERNS = ("FAST", "FASTR1", "SLOW", "SLOWR1")

# Clocks of a row and of a frame, by subarray (FULL by readout), where no reference file tells them.
SUBARRAYS = {
    "SLITLESSPRISM": (28, 15904),
    "MASKLYOT": (90, 32400),
    "SUB64": (28, 8512),
    "SUB128": (44, 11904),
    "MASK1140": (82, 23968),
    "MASK1550": (82, 23968),
    "MASK1065": (82, 23968),
    "FULL_FAST": (271, 277504),
    "FULL_SLOW": (2333, 2388992),
    "BRIGHTSKY": (162, 86528),
    "SUB256": (96, 29952),
}


class EmiCorrStep(RampStep):
    """Subtract the electromagnetic interference that MIRI's own electronics leave in ramps.

    The reference file knows the frequencies and the shape of each wave; one after the other is fitted
    and subtracted. `joint` finds the phase and amplitude that make the ramps of quiet pixels
    straightest. `sequential` subtracts a rough ramp from each pixel, bins what is left by phase and
    shifts the wave to match; it wants ten groups. With `onthefly_corr_freq` (in Hz) no reference
    file is needed: the binned residuals are themselves the wave, and the algorithm is `sequential`.

    Skipped unless asked for, for less than three groups, and for subarrays and read patterns that
    the reference file does not know. The whole exposure is kept in memory.
    """

    alias = "emicorr"
    suffix = "emicorr"
    status = "emicorr"
    optional_reference_types = ("emicorr",)
    prerequisites = ("meta.exposure.readpatt", "meta.subarray.xsize", "meta.subarray.xstart")
    spec = """
        skip = boolean(default=True)  # Leave this step out
        algorithm = option('sequential', 'joint', default='joint')  # How waves are fitted
        nints_to_phase = integer(default=None)  # Integrations to bin by phase (sequential)
        nbins = integer(default=None)  # Bins of a wave (sequential)
        scale_reference = boolean(default=True)  # Scale the wave to the data (sequential)
        onthefly_corr_freq = float_list(default=None)  # Frequencies in Hz, without reference file
        use_n_cycles = integer(default=3)  # Cycles to bin by phase, if not None (sequential)
        fit_ints_separately = boolean(default=False)  # Fit each integration by itself (joint)
    """
    algorithm: str
    nints_to_phase: int | None
    nbins: int | None
    scale_reference: bool
    onthefly_corr_freq: list[float] | None
    use_n_cycles: int | None
    fit_ints_separately: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only for MIRI, known read patterns, three groups, and with a reference or frequencies."""
        pattern = str(meta.get("meta.exposure.readpatt")).upper()
        ngroups = meta.get("meta.exposure.ngroups", 0)
        if meta.get("meta.instrument.name") != "MIRI":
            return "only MIRI has this interference"
        if pattern not in READ_PATTERNS:
            return f"the read pattern is {pattern}, not {', '.join(READ_PATTERNS)}"
        if ngroups < FEWEST_GROUPS:
            return f"{ngroups} groups, {FEWEST_GROUPS} are needed"
        if self.onthefly_corr_freq is None and selected["emicorr"].path is None:
            return "no emicorr reference applies (N/A)"
        return ""

    def correct(self, ramp: Ramp, references: Mapping[str, CutReference]) -> None:
        """Fit and subtract one wave after the other."""
        del references
        clocks, waves = self._waves(ramp.meta)
        data = np.array(ramp.data)
        if self.algorithm == "joint" and self.onthefly_corr_freq is None:
            for wave in waves:
                data = fit_jointly(
                    data, ramp.pixeldq, wave, clocks, fit_ints_separately=self.fit_ints_separately
                )
        else:
            search = self._search(waves[0], clocks, data.shape[:2])
            for wave in waves:
                data = fit_sequentially(data, wave, clocks, search)
        ramp.data = data

    def _waves(self, meta: Meta) -> tuple[Clocks, list[Wave]]:
        """How pixels are read, and the waves to subtract."""
        speed = "FAST" if "FAST" in meta.exposure.readpatt.upper() else "SLOW"
        name = str(meta.subarray.name)
        case = f"{name}_{speed}" if "FULL" in name else name
        if self.onthefly_corr_freq is not None:
            times = SUBARRAYS.get(case)
            waves = [Wave(frequency) for frequency in self.onthefly_corr_freq]
        else:
            path = self.selected["emicorr"].path
            times, waves = waves_of(path, case, speed, meta.instrument.detector)
        if times is None or not waves:
            raise Skip(f"nothing is known of {case} read out with {meta.exposure.readpatt}")
        resets = meta.exposure.readpatt.upper() in ("FASTR1", "SLOWR1")
        last = meta.subarray.xsize // CHANNELS + meta.subarray.xstart - 1
        return Clocks(*times, meta.exposure.nsamples or 1, resets, last == LAST_QUAD), waves

    def _search(self, wave: Wave, clocks: Clocks, shape: tuple[int, int]) -> WaveSearch:
        """How the sequential fit looks for waves; the first decides how many integrations it needs."""
        nints, ngroups = shape
        if self.nints_to_phase is not None:
            nints = self.nints_to_phase
        elif self.use_n_cycles is not None:
            needed = self.use_n_cycles * wave.period / (clocks.frame * ngroups)
            nints = int(np.ceil(needed))
        return WaveSearch(nints, self.nbins, self.scale_reference)


@dataclass(frozen=True)
class Clocks:
    """When pixels are read, in clocks of 10 microseconds."""

    row: int  # from row to row
    frame: int  # that a reset takes
    samples: int  # of a pixel
    resets: bool  # a frame is spent on a reset between integrations
    reaches_edge: bool = False  # the last pixels of a row are reference pixels

    def pixels(self, rows: int, columns: int) -> Doubles:
        """Time of each group of four columns within a frame (rows, columns / 4)."""
        steps = np.arange(columns // CHANNELS) * self.samples
        times: Doubles = np.arange(rows, dtype=np.float64)[:, None] * self.row + steps
        return times

    def frame_time(self, rows: int) -> float:
        """Time from frame to frame."""
        return rows * self.row + float(ROWS - rows) * CLOCKS_PER_MISSING_ROW

    @property
    def between(self) -> int:
        """Additional time between integrations."""
        return self.frame if self.resets else 0


@dataclass(frozen=True)
class Wave:
    """A periodic interference: its frequency in Hz and its shape over one period, if known."""

    frequency: float
    shape: Doubles | None = None

    @property
    def period(self) -> float:
        """Period in clocks."""
        return (1.0 / self.frequency) / SECONDS_PER_CLOCK


@dataclass(frozen=True)
class WaveSearch:
    """Parameters of the sequential fit."""

    nints_to_phase: int  # that are binned by phase
    nbins: int | None  # None: half the period
    scale_reference: bool  # fit the amplitude of a known wave


def waves_of(
    path: Path | None, case: str, speed: str, detector: str
) -> tuple[tuple[int, int] | None, list[Wave]]:
    """Clocks of a row and a frame, and the waves of a subarray, from a reference file.

    Raises
    ------
    ReferenceMissing
        When the file is no ASDF file of this type.
    """
    import asdf

    try:
        with asdf.open(path, memmap=False, lazy_load=False) as file:
            tree: Any = file.tree
            known = tree["subarray_cases"].get(case)
            if known is None or speed not in known["freqs"]:
                return None, []
            names = known["freqs"][speed]
            names = names if speed == "FAST" else names.get(detector, [])
            found = [tree["frequencies"][name] for name in names]
            waves = [Wave(w["frequency"], np.array(w["phase_amplitudes"])) for w in found]
            return (known["rowclocks"], known["frameclocks"]), waves
    except (OSError, ValueError, KeyError) as error:
        raise ReferenceMissing(
            f"{path} is no emicorr reference file: {error!r}. Give an ASDF file with subarray_cases "
            "and frequencies."
        ) from None


# --- joint ---------------------------------------------------------------------------------------


def fit_jointly(
    data: Floats, pixeldq: Bits, wave: Wave, clocks: Clocks, *, fit_ints_separately: bool
) -> Floats:
    """Data (integrations, groups, rows, columns) without the wave that makes ramps straightest.

    Pixels without flags (`pixeldq`) that scatter little are added up by phase. For each of 500
    phases of the wave the amplitude follows in closed form from the chi squared of straight lines;
    a parabola through the best three phases gives the phase. One phase and amplitude hold for all
    integrations, or each has its own.
    """
    nints, ngroups, rows, columns = data.shape
    phase = clocks.pixels(rows, columns) / wave.period % 1
    per_group = clocks.frame_time(rows) / wave.period % 1
    per_integration = per_group * ngroups + clocks.between / wave.period
    shape, phases = _interpolated(wave)
    sums = _binned(data, _quiet(data, pixeldq), (phase * len(phases)).astype(int), len(phases))
    fit = _JointFit.of(sums, shape, (phases[:, None] + np.arange(ngroups) * per_group) % 1)
    fit = fit.spaced(per_integration)
    out = data.copy()
    each = [[i] for i in range(nints)] if fit_ints_separately else [list(range(nints))] * nints
    for i, members in enumerate(each):
        best, amplitude = fit.best(members)
        start = best + i * per_integration
        for k in range(ngroups):
            noise = amplitude * shape((phase + per_group * k + start % 1) % 1)
            out[i, k] -= np.repeat(noise, CHANNELS, axis=1)
    return out


def _interpolated(wave: Wave) -> tuple[Callable[[Doubles], Doubles], Doubles]:
    """The wave as a smooth function of phase (0 to 1), and the phases at which it is known."""
    from scipy.interpolate import make_interp_spline

    known = np.asarray(wave.shape, dtype=np.float64)
    phases = (np.arange(len(known) + 2) - 0.5) / len(known)
    return make_interp_spline(phases, [known[-1], *known, known[0]], k=3), phases[1:-1]


def _quiet(data: Floats, pixeldq: Bits) -> Booleans:
    """Pixels (integrations, rows, columns) without flags whose groups scatter less than most."""
    scatter = np.std(data, axis=1)
    quiet: Booleans = (scatter < 2 * np.median(scatter)) & (pixeldq == 0)
    for quad in BAD_QUADS:
        quiet[..., CHANNELS * quad : CHANNELS * (quad + 1)] = False
    return quiet


def _binned(
    data: Floats, chosen: Booleans, bins: npt.NDArray[np.intp], nbins: int
) -> tuple[Doubles, Doubles]:
    """Sums of chosen pixels in each bin (integrations, bins, groups), and their numbers."""
    nints, ngroups = data.shape[:2]
    sums, counts = np.zeros((nints, nbins, ngroups)), np.zeros((nints, nbins))
    by_pixel = np.repeat(bins, CHANNELS, axis=1)
    for i in range(nints):
        where = by_pixel[chosen[i]]
        counts[i] = np.bincount(where, minlength=nbins)
        for k in range(ngroups):
            sums[i, :, k] = np.bincount(where, data[i, k][chosen[i]], nbins)
    return sums, counts


@dataclass(frozen=True)
class _JointFit:
    """Sums that the chi squared of straight lines plus a wave is made of, for all trial phases."""

    curvature: Doubles  # second order in the amplitude (trials, integrations)
    slope: Doubles  # first order (trials, integrations)
    trials: Doubles
    between: float = 0  # phase from integration to integration

    @classmethod
    def of(
        cls, sums: tuple[Doubles, Doubles], shape: Callable[[Doubles], Doubles], phases: Doubles
    ) -> _JointFit:
        """From sums of pixels, the wave, and the phases (bins, groups) that the sums are of."""
        y, counts = sums
        n = phases.shape[1]
        t = np.arange(n)
        t1, t2 = t.sum(), (t**2).sum()
        delta = n * t2 - t1**2
        y0, y1 = y.sum(axis=2), (y * t).sum(axis=2)
        trials = np.arange(TRIALS) / TRIALS
        curvature, slope = np.empty((TRIALS, len(y))), np.empty((TRIALS, len(y)))
        for row, trial in enumerate(trials):
            z = shape((phases + trial) % 1)
            z0, z1, z2 = z.sum(axis=1), (z * t).sum(axis=1), (z**2).sum(axis=1)
            spread = -t2 * z0**2 + 2 * t1 * z0 * z1 - n * z1**2 + z2 * delta
            lines = t2 * z0 * y0 - t1 * z1 * y0 - t1 * z0 * y1 + n * z1 * y1
            curvature[row] = (counts / delta * spread).sum(axis=1)
            slope[row] = 2 / delta * lines.sum(axis=1) - 2 * (z * y).sum(axis=(1, 2))
        return cls(curvature, slope, trials)

    def spaced(self, between: float) -> _JointFit:
        """The same for integrations that start at phases `between` apart."""
        return _JointFit(self.curvature, self.slope, self.trials, between)

    def at(self, phase: float, members: list[int]) -> tuple[float, float]:
        """Least chi squared of some integrations at a phase of the first, and its amplitude."""
        a = b = 0.0
        for i in members:
            row = int(np.argmin(np.abs((self.trials - phase - self.between * i) % 1)))
            a, b = a + self.curvature[row, i], b + self.slope[row, i]
        if np.isclose(a, 0, atol=1e-8) or not np.isfinite(a + b):
            return np.nan, 0.0
        amplitude = -b / (2 * a)
        return a * amplitude**2 + b * amplitude, amplitude

    def best(self, members: list[int]) -> tuple[float, float]:
        """The phase with the least chi squared, and the amplitude there."""
        chi2 = np.array([self.at(trial, members)[0] for trial in self.trials])
        if np.isnan(chi2).all():
            return float(self.trials[0]), 0.0
        phase = _vertex(self.trials, chi2)
        return phase, self.at(phase, members)[1]


def _vertex(phases: Doubles, chi2: Doubles) -> float:
    """Phase of the least chi squared, by a parabola through it and its neighbours.

    As in jwst, the phases of neighbours across 0 are taken as they are, between 0 and 1.
    """
    least = int(np.nanargmin(chi2))
    near = [least - 1, least, (least + 1) % len(chi2)]
    if not np.isfinite(chi2[near]).all() or np.std(chi2[near]) == 0:
        return float(phases[least])
    a, b, _ = np.polyfit(phases[near], chi2[near], 2)
    return float(-b / (2 * a))


# --- sequential ----------------------------------------------------------------------------------


def fit_sequentially(data: Floats, wave: Wave, clocks: Clocks, search: WaveSearch) -> Floats:
    """Data (integrations, groups, rows, columns) without the wave found in residuals of ramps."""
    residuals = np.stack([_residuals(ramp) for ramp in data])
    phase = _phases(data.shape, wave.period, clocks)
    nbins = int(wave.period / 2) if search.nbins is None else search.nbins
    nbins = BINS_AT_MOST if nbins > MOST_BINS else nbins
    binned = _wave_in(residuals[: search.nints_to_phase], phase[: search.nints_to_phase], nbins)
    noise = _stretched(binned, wave.period)
    if wave.shape is not None:
        matched = np.roll(wave.shape, _shift(wave.shape, _stretched(binned, len(wave.shape))))
        known = _stretched(matched, wave.period)
        noise = known * np.polyfit(known, noise, 1)[0] if search.scale_reference else known
    values = np.nan_to_num(noise[(phase * wave.period).astype(int)], nan=0, posinf=0, neginf=0)
    out = data.copy()
    out -= np.repeat(values, CHANNELS, axis=-1)
    return out


def _residuals(ramp: Floats) -> Doubles:
    """Means of four channels (groups, rows, columns / 4) without slope and bias of each pixel."""
    inner = slice(1, len(ramp) - 1)
    slope = _slopes(ramp[inner])
    flat = np.stack([group - slope * k for k, group in enumerate(ramp)]).astype(np.float32)
    few = flat[inner].shape[0] <= 2  # noqa: PLR2004 - no median of two
    flat = flat - (np.nanmin if few else np.nanmedian)(flat[inner], axis=0)
    quads: Any = sum(flat[..., channel::CHANNELS] for channel in range(CHANNELS)) / CHANNELS
    for quad in BAD_QUADS:
        quads[..., quad] = (quads[..., 0] + quads[..., 3]) / 2
    residuals: Doubles = quads - np.median(quads, axis=(1, 2))[:, None, None]
    return residuals.astype(np.float64)


def _slopes(groups: Floats) -> Doubles:
    """Slope of a straight line through each pixel's groups (groups, rows, columns)."""
    t = np.arange(len(groups), dtype=np.float64)
    y0 = groups.sum(axis=0, dtype=np.float64)
    y1 = np.tensordot(t, groups.astype(np.float64), axes=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a single group has no slope
        slopes: Doubles = (len(t) * y1 - t.sum() * y0) / (len(t) * (t**2).sum() - t.sum() ** 2)
    return slopes


def _phases(shape: tuple[int, ...], period: float, clocks: Clocks) -> Doubles:
    """Phase of each sample (integrations, groups, rows, columns / 4), from 0 to 1."""
    nints, ngroups, rows, columns = shape
    frame = clocks.frame_time(rows)
    starts = np.arange(nints)[:, None] * (ngroups * frame + clocks.between)
    starts = starts + np.arange(ngroups) * frame
    times = starts[..., None, None] + clocks.pixels(rows, columns)
    if clocks.reaches_edge:
        times[..., -1] += 3 + 2**32
    phase = times / period
    whole: Doubles = phase - np.floor(phase)
    return whole


def _wave_in(residuals: Doubles, phase: Doubles, nbins: int) -> Doubles:
    """Clipped mean of residuals in each bin of phase, around a median of 0."""
    from astropy.stats import sigma_clipped_stats

    bins = np.searchsorted(np.arange(nbins + 1) / nbins, phase.ravel(), side="left") - 1
    order = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[order], np.arange(nbins + 1))
    values = residuals.ravel()[order]
    parts = [values[a:b] for a, b in pairwise(edges)]
    wave = np.array([sigma_clipped_stats(part)[0] if part.size else np.nan for part in parts])
    centred: Doubles = wave - np.median(wave)
    return centred


def _stretched(wave: Doubles, length: float) -> Doubles:
    """The wave with about `length` samples, each the one at or before its place."""
    step = len(wave) / length
    samples: Doubles = wave[(np.arange(int(np.ceil(len(wave) / step))) * step).astype(int)]
    return samples


def _shift(wave: Doubles, measured: Doubles) -> int:
    """Samples by which to shift a wave to what correlates best with the measured one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = (np.roll(wave, n) for n in range(len(wave)))
        return int(np.argmax([np.corrcoef(s, measured)[0, 1] for s in shifted]))
