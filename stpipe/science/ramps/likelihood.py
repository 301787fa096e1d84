"""Fit the most likely straight lines to ramps, and find the jumps that speak against them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.ramps import _likelihood

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.models.protocols import Meta
    from stpipe.science.arrays import Bits, Doubles, Floats, GroupBits
    from stpipe.science.ramps.samples import Ramps

__all__ = [
    "FEWEST_GROUPS",
    "LikelyRates",
    "Resultants",
    "combine_integrations",
    "fit_likely_integrations",
    "fit_likely_ramps",
    "read_times",
]

FEWEST_GROUPS = 4  # of an integration, so that a jump can be told from the rest
ROUNDS = 2  # in which the weights of integrations settle


@dataclass(frozen=True)
class LikelyRates:
    """Fitted arrays, ([integrations,] rows, columns), in DN/s and their squares."""

    data: Floats
    dq: Bits
    var_poisson: Floats
    var_rnoise: Floats
    err: Floats
    chisq: Floats


def read_times(exposure: Meta, ngroups: int) -> list[Doubles]:
    """Times of the reads that each group averages, from an exposure's metadata.

    Parameters
    ----------
    exposure : Meta
        `meta.exposure`; its list of read times goes before the pattern of frames and gaps.
    ngroups : int

    Returns
    -------
    list of (reads,) float64, s
        One array for each group.
    """
    if exposure.read_times:
        return [np.atleast_1d(np.asarray(times, dtype=np.float64)) for times in exposure.read_times]
    reads = np.arange(1, exposure.nframes + 1)
    period = exposure.nframes + exposure.groupgap
    return [(reads + k * period) * exposure.frame_time for k in range(ngroups)]


@dataclass(frozen=True)
class Resultants:
    """When the resultants of an integration were read: an average of reads each.

    Attributes
    ----------
    times
        Times in seconds of the reads of each resultant.
    frame_first
        The first resultant is the zero frame, taken out of the first group.
    """

    times: Sequence[Doubles]
    frame_first: bool = False

    @classmethod
    def of(cls, times: Sequence[Doubles], *, has_zeroframe: bool) -> Resultants:
        """Resultants of groups; with a zero frame of a first group that averages more, one more.

        Parameters
        ----------
        times : sequence of (reads,) float64, s
            Of the reads of each group.
        has_zeroframe : bool

        Returns
        -------
        Resultants
        """
        if not has_zeroframe or len(times[0]) == 1:
            return cls(times)
        return cls([times[0][:1], times[0][1:], *times[1:]], frame_first=True)

    def matrix(self) -> Doubles:
        """What the covariance of differences is made of.

        Steps in time; diagonals for a photon rate of 1 and a read noise of 1, then the
        off-diagonals, of which the last is unused. Brandt 2024, paper 1 (PASP 136, 045004),
        equations 4, 11, 28, 29.

        Returns
        -------
        (5, differences) float64
            The first row in s, the second and fourth in 1/s, the others in 1/s^2.
        """
        reads = self._reads()
        mean = np.array([np.mean(t) for t in self.times])
        tau = np.array([_variance_weighted_mean(t) for t in self.times])
        step = np.diff(mean)
        matrix = np.zeros((5, len(step)))
        matrix[0] = step
        matrix[1] = (tau[:-1] + tau[1:] - 2 * mean[:-1]) / step**2
        matrix[2] = (1 / reads[:-1] + 1 / reads[1:]) / step**2
        matrix[3, :-1] = (mean[1:-1] - tau[1:-1]) / (step[1:] * step[:-1])
        matrix[4, :-1] = -1 / (reads[1:-1] * step[1:] * step[:-1])
        return matrix

    def pairs(self) -> GroupBits:
        """After which difference a jump may hide within a resultant, spoiling two differences.

        Returns
        -------
        (differences - 1,) uint8
            0 or 1.
        """
        return (self._reads()[1:-1] > 1).astype(np.uint8)

    def _reads(self) -> npt.NDArray[np.intp]:
        return np.array([len(times) for times in self.times])

    def of_integration(self, data: Floats, zeroframe: Floats | None) -> Floats:
        """Groups as resultants, the zero frame apart.

        Parameters
        ----------
        data : (groups, rows, columns) float32, DN
        zeroframe : (rows, columns) float32, DN, or None

        Returns
        -------
        (resultants, rows, columns) float32, DN
        """
        if not self.frame_first or zeroframe is None:
            return data
        nframes = len(self.times[1]) + 1
        rest = (data[0] * np.float32(nframes) - zeroframe) / np.float32(nframes - 1)
        return np.stack([zeroframe, rest, *data[1:]])

    def flags_of_integration(self, groupdq: GroupBits) -> GroupBits:
        """Flags of groups, the first group's also for the zero frame.

        Parameters
        ----------
        groupdq : (groups, rows, columns) uint8

        Returns
        -------
        (resultants, rows, columns) uint8
        """
        first = groupdq[:1] if self.frame_first else groupdq[:0]
        return np.concatenate([first, groupdq])


def _variance_weighted_mean(times: Doubles) -> float:
    count = len(times)
    weights = 2 * count + 1 - 2 * np.arange(1, count + 1)
    return float(np.sum(weights * times) / count**2)


def fit_likely_ramps(ramps: Ramps, resultants: Resultants) -> tuple[LikelyRates, LikelyRates]:
    """Rates of the exposure and of its integrations, by likelihood.

    Brandt 2024, PASP 136, 045004 and 045005. Groups with any flag are left out, with both
    differences that they are a part of.

    Parameters
    ----------
    ramps : Ramps
    resultants : Resultants

    Returns
    -------
    exposure : LikelyRates
        (rows, columns), DN/s.
    integrations : LikelyRates
        (integrations, rows, columns), DN/s.
    """
    integrations = fit_likely_integrations(ramps, resultants)
    return combine_integrations(integrations), integrations


def fit_likely_integrations(ramps: Ramps, resultants: Resultants) -> LikelyRates:
    """Rates of each integration, as `fit_likely_ramps` has them.

    Parameters
    ----------
    ramps : Ramps
    resultants : Resultants

    Returns
    -------
    LikelyRates
        (integrations, rows, columns), DN/s.
    """
    nints, _, rows, columns = ramps.data.shape
    floats = {
        name: np.empty((nints, rows, columns), dtype=np.float32)
        for name in ("slope", "err", "var_poisson", "var_rnoise", "chisq")
    }
    dq = np.repeat(ramps.pixeldq[None], nints, axis=0)
    pixels = {
        "gain": ramps.gain,
        "readnoise": ramps.readnoise / np.sqrt(2.0, dtype=np.float64),
        "dark": ramps.dark,
    }
    fitter = _likelihood.Fitter(resultants.matrix(), resultants.pairs())
    for i in range(nints):
        frame = None if ramps.zeroframe is None else ramps.zeroframe[i]
        arrays = {
            "data": resultants.of_integration(ramps.data[i], frame),
            "flags": resultants.flags_of_integration(ramps.original[i]),
        }
        results = {name: array[i] for name, array in floats.items()}
        fitter.fit(arrays | pixels | results | {"dq": dq[i]})
    floats["data"] = floats.pop("slope")
    return LikelyRates(dq=dq, **floats)


def combine_integrations(each: LikelyRates) -> LikelyRates:
    """Rates of the exposure: means weighted by variances for a common rate.

    The photon noise of an integration is scaled to the rate of all, so that low fluctuations do not
    get the higher weight; the median starts the iteration.

    Parameters
    ----------
    each : LikelyRates
        (integrations, rows, columns), DN/s.

    Returns
    -------
    LikelyRates
        (rows, columns), DN/s.
    """
    if len(each.data) == 1:
        return LikelyRates(**{name: array[0] for name, array in vars(each).items()})
    data = each.data.astype(np.float64)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # medians of nothing but NaN
        rate = np.nanmedian(data, axis=0)
        for _ in range(ROUNDS):
            weights, photons = _weights(each, data, rate)
            rate = _known_sum(data * weights)
    var_poisson = _known_sum(photons * weights**2)
    var_rnoise = _known_sum(each.var_rnoise * weights**2)
    single = np.float32
    return LikelyRates(
        rate.astype(single),
        _combined_flags(each.dq),
        var_poisson.astype(single),
        var_rnoise.astype(single),
        np.sqrt(var_poisson + var_rnoise).astype(single),
        each.chisq.sum(axis=0),
    )


def _weights(each: LikelyRates, data: Doubles, rate: Doubles) -> tuple[Doubles, Doubles]:
    """Weights of integrations, of sum 1, and their photon variances at a common `rate`."""
    scale = rate / data
    scale[~np.isfinite(scale) | (scale < 0)] = 0
    photons = each.var_poisson * scale
    weights = 1 / (photons + each.var_rnoise)
    return weights / np.nansum(weights, axis=0), photons


def _known_sum(values: Doubles) -> Doubles:
    """Sum over integrations of what is known; NaN where nothing is."""
    return np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0))


def _combined_flags(dq: Bits) -> Bits:
    """Flags of any integration; DO_NOT_USE only where all have it."""
    others = np.bitwise_or.reduce(dq, axis=0) & ~np.uint32(dqflags.DO_NOT_USE)
    flags: Bits = others | (np.bitwise_and.reduce(dq, axis=0) & np.uint32(dqflags.DO_NOT_USE))
    return flags
