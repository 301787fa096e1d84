"""One spectrum of several, on wavelengths that they have in common."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import has

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.science.arrays import Bits, Booleans, Doubles

__all__ = ["Spectrum", "combined", "common_wavelengths"]

CLUMP = 0.8  # scatter of wavelengths that belong together, over that of their neighbours
VALUES, ERRORS = ("flux", "surf_bright"), ("error", "sb_error")


@dataclass(frozen=True)
class Spectrum:
    """A spectrum (samples,), or what several are combined to.

    Attributes
    ----------
    wavelength : float64, um
        Strictly ascending or descending.
    flux, error : float64, Jy
    surf_bright, sb_error : float64, MJy/sr
    dq : uint32
    weight, n_input : float64
        Sum of weights, and the number of spectra, behind each sample.
    """

    wavelength: Doubles
    flux: Doubles
    error: Doubles
    surf_bright: Doubles
    sb_error: Doubles
    dq: Bits
    weight: Doubles
    n_input: Doubles


def common_wavelengths(spectra: Sequence[Doubles]) -> Doubles:
    """Wavelengths for several spectra: means of those that lie close together, one of each spectrum.

    All wavelengths are sorted. Of as many neighbours as there are spectra the mean counts where they
    scatter less than the groups beside them; where no group stands out they are taken in turn.

    Parameters
    ----------
    spectra : sequence of (samples,) float64, um
        Wavelengths of each, strictly ascending or descending.

    Returns
    -------
    (n,) float64, um
        Ascending.
    """
    waves = np.sort(np.concatenate(spectra))
    count = np.sum([_covered(waves, each) for each in spectra], axis=0)
    mean, scatter = _groups(waves, count)
    kept = (scatter == 0) | _stands_out(scatter)
    found = np.where(kept, mean, np.nan)
    _fill_gaps(found, waves, count)
    return np.sort(found[np.isfinite(found)])


def _covered(waves: Doubles, spectrum: Doubles) -> Booleans:
    """Which wavelengths are between the outer edges of a spectrum's pixels."""
    ends = np.sort(spectrum)
    low = ends[0] - (ends[1] - ends[0]) / 2
    high = ends[-1] + (ends[-1] - ends[-2]) / 2
    covered: Booleans = (waves >= low) & (waves < high)
    return covered


def _groups(waves: Doubles, count: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and scatter of the group around each wavelength; infinite scatter at the ends."""
    mean, scatter = np.full(waves.size, np.nan), np.full(waves.size, np.inf)
    for size in np.unique(count):
        windows = np.lib.stride_tricks.sliding_window_view(waves, int(size))
        at = np.flatnonzero(count == size)
        first = at + size // 2 + 1 - size
        at, first = at[inside := (first >= 0) & (first < len(windows))], first[inside]
        mean[at], scatter[at] = windows[first].mean(axis=1), windows[first].std(axis=1)
    return mean, scatter


def _stands_out(scatter: Doubles) -> Booleans:
    """Where wavelengths scatter less than in the groups on both sides, or on the one side at ends."""
    around = np.concatenate([scatter[1:2], scatter, scatter[-2:-1]])
    with np.errstate(invalid="ignore"):
        less: Booleans = scatter < CLUMP * (around[:-2] + around[2:]) / 2
    return less


def _fill_gaps(found: Doubles, waves: Doubles, count: Doubles) -> None:
    """Put means of groups, one after the other, where there is none nearby; in place."""
    at = 0
    while at < waves.size:
        size = int(count[at])
        if at + size // 2 < waves.size:
            size = int(count[at + size // 2])
            around = slice(max(at - 1, 0), min(at + size + 1, waves.size - 1))
            if at + size < waves.size and np.isnan(found[around]).all():
                found[at] = waves[at : at + size].mean()
        at += size


def combined(spectra: Sequence[Spectrum], sigma_clip: float | None = None) -> Spectrum:
    """The weighted mean of spectra, of each the sample next to a common wavelength.

    Parameters
    ----------
    spectra : sequence of Spectrum
        With weights of each sample.
    sigma_clip : float, optional
        Leave out fluxes, times weights, that are further from their median at a wavelength than this
        times the median deviation at all wavelengths.

    Returns
    -------
    Spectrum
        Samples to which no spectrum contributes are left out.
    """
    waves = common_wavelengths([each.wavelength for each in spectra])
    shape = (len(spectra), waves.size)
    sums = {name: np.full(shape, np.nan) for name in VALUES + ERRORS}
    weight, dq = np.zeros(shape), np.zeros(waves.size, np.uint32)
    for number, each in enumerate(spectra):
        place = np.interp(each.wavelength, waves, np.arange(waves.size), left=np.nan, right=np.nan)
        good = np.isfinite(place) & np.isfinite(each.flux) & ~has(each.dq, dqflags.DO_NOT_USE)
        to = np.rint(place[good]).astype(int)
        for name, into in sums.items():
            into[number, to] = getattr(each, name)[good]
        weight[number, to] = each.weight[good]
        np.bitwise_or.at(dq, to, each.dq[good])
    if sigma_clip is not None:
        weight[_outliers(sums["flux"] * weight, sigma_clip)] = 0
    return _mean(waves, sums, weight, dq)


def _outliers(flux: Doubles, sigma_clip: float) -> Booleans:
    """Fluxes (spectra, samples) that are far from the others; by those that are 0 nothing is judged."""
    known = np.where(flux == 0, np.nan, flux)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        middle = np.nanmedian(known, axis=0)
        usual = np.nanmedian(np.abs(known - middle))
    far: Booleans = np.abs(flux - middle) > sigma_clip * usual
    return far


def _mean(waves: Doubles, sums: dict[str, Doubles], weight: Doubles, dq: Bits) -> Spectrum:
    total = weight.sum(axis=0)
    used = total > 0
    weight, total = weight[:, used], total[used]
    weighted = {n: np.where(weight > 0, a[:, used], 0) * weight for n, a in sums.items()}
    values = {name: np.nansum(weighted[name], axis=0) / total for name in VALUES}
    errors = {name: np.sqrt(np.nansum(weighted[name] ** 2, axis=0)) / total for name in ERRORS}
    number = np.count_nonzero(weight, axis=0).astype(np.float64)
    return Spectrum(waves[used], dq=dq[used], weight=total, n_input=number, **values, **errors)
