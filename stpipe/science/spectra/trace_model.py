"""Models of the light of compact sources, from splines across their spectra.

Arrays are (across, along): wavelengths run along rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.spectra.trace_splines import SplineRules, fit_columns, native_step

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.science.arrays import Booleans, Doubles, Floats
    from stpipe.science.spectra.trace_splines import ColumnFit

__all__ = ["Thresholds", "TraceRules", "trace_model"]

NOISY = 5.0  # signal to noise
LARGE = 5.0  # standard deviations of errors
SUBTRACTED = -5.0  # signal to noise of light that something subtracted left
PEAK = 0.2  # of the highest bin
FEWEST = 50  # steep pixels


@dataclass(frozen=True)
class TraceRules:
    """How traces of a mode are modelled.

    Attributes
    ----------
    splines
        How splines are fitted.
    pad
        Native steps on each side of where light is steep that belong to a source.
    backwards
        Whether columns are fitted from the last to the first.
    of_all
        Whether a slice is modelled by its peak over the light of all, not by its signal to noise.
    """

    splines: SplineRules
    pad: int
    backwards: bool = False
    of_all: bool = False


@dataclass(frozen=True)
class Thresholds:
    """What light is modelled.

    Attributes
    ----------
    fit_threshold
        Signal to noise, or standard deviations above the mean of all; up to 0: everything is.
    slope_limit
        The step of the normalised light from pixel to pixel; up to 0: everything is.
    """

    fit_threshold: float
    slope_limit: float


def trace_model(
    values: tuple[Floats, Floats],
    place: Doubles,
    regions: npt.NDArray[np.integer],
    rules: TraceRules,
    thresholds: Thresholds,
) -> Floats:
    """The light of the compact sources of a slit, or of slices.

    Parameters
    ----------
    values : data and errors, each (across, along) float32
        NaN counts as missing.
    place : (across, along) float
        Along the slit, in any unit, the same for all slices.
    regions : (across, along) int
        Numbers of slices; 0 outside.
    rules : TraceRules
    thresholds : Thresholds

    Returns
    -------
    (across, along) float32
        NaN where there is no compact source, and in the first and last pixel of each column.
    """
    data, err = values
    mean, deviation = _level(data[regions > 0])
    below = min(mean, 0.0)  # splines are fitted to light above 0
    data = data - np.float32(below) if below else data
    limit = thresholds.fit_threshold
    peak = max(mean, 0.0) + limit * deviation if rules.of_all else np.nan
    found = np.full(data.shape, np.nan, dtype=np.float32)
    bins = None
    for number in np.unique(regions[regions > 0]):
        inside = regions == number
        part = [
            np.where(inside, a, np.float32(np.nan)).astype(np.float32) for a in (data, err, place)
        ]
        fits = _fits(part, rules, limit, peak)
        if not fits:
            continue
        if bins is None:  # of the first slice for all
            bins = len(np.unique(fits[min(fits)].spline.t)) - 1
        light, steep = _evaluated(fits, part[2], thresholds.slope_limit)
        if thresholds.slope_limit > 0:
            light = np.where(_compact(part[2], steep, bins, rules.pad), light, np.float32(np.nan))
        found[inside] = light[inside]
    return found + np.float32(below) if below else found


def _level(data: Floats) -> tuple[float, float]:
    """Clipped mean and standard deviation; 0 without values."""
    from astropy.stats import sigma_clipped_stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, _, deviation = sigma_clipped_stats(data)
    return tuple(float(v) if np.isfinite(v) else 0.0 for v in (mean, deviation))  # type: ignore[return-value]


def _fits(part: list[Floats], rules: TraceRules, limit: float, peak: float) -> dict[int, ColumnFit]:
    """Splines of a slice that is bright enough, without noisy edges."""
    data, err, place = part
    profile = _across(data, err, place)
    if profile is None or not _bright(profile, limit, peak):
        return {}
    data = _without_edges(data, place, profile)
    profile = _across(data, err, place)
    if profile is None or not _bright(profile, limit, peak):
        return {}
    if np.nanmin(profile["snr"]) < SUBTRACTED:
        scale = np.sum(data, where=data > 0, axis=0)
    else:
        scale = np.nansum(data, axis=0)
    order = range(data.shape[1])
    return fit_columns(data, place, scale, rules.splines, order[::-1] if rules.backwards else order)


def _across(data: Floats, err: Floats, place: Floats) -> dict[str, Floats] | None:
    """Medians along the spectrum by place, in half native steps: data, err, snr; None without data."""
    valid = np.isfinite(data) & np.isfinite(err) & np.isfinite(place) & (err > 0)
    if not valid.any():
        return None
    step = native_step(place) / 2.0
    places = np.arange(np.nanmin(place), np.nanmax(place), step)
    found = {name: np.full_like(places, np.nan) for name in ("data", "err", "snr")}
    known = {"data": data[valid], "err": err[valid], "snr": data[valid] / err[valid]}
    at = place[valid]
    for number, middle in enumerate(places):
        near = (at >= middle - step / 2.0) & (at < middle + step / 2.0)
        if near.any():
            for name, values in known.items():
                found[name][number] = np.median(values[near])
    return {"place": places, **found}


def _bright(profile: dict[str, Floats], limit: float, peak: float) -> bool:
    """Whether the light of a slice is worth a model."""
    if limit <= 0:
        return True
    if np.isfinite(peak):
        return bool(np.nanmax(profile["data"]) > peak)
    return bool(np.nanmax(profile["snr"]) > limit)


def _without_edges(data: Floats, place: Floats, profile: dict[str, Floats]) -> Floats:
    """Data without the ends of a slit where there is much noise and little light."""
    from astropy.stats import sigma_clipped_stats

    known = np.isfinite(profile["snr"])
    mean, _, deviation = sigma_clipped_stats(profile["err"][known])
    bad = (np.abs(profile["snr"]) < NOISY) & (profile["err"] > mean + LARGE * deviation)
    if not bad.any() or bad.all():
        return data
    ends = profile["place"][bad]
    outside: Booleans = np.zeros(data.shape, dtype=bool)
    if (ends < 0).any():
        outside |= place <= ends[ends < 0].max()
    if (ends > 0).any():
        outside |= place >= ends[ends > 0].min()
    return np.where(outside, np.float32(np.nan), data)


def _evaluated(
    fits: dict[int, ColumnFit], place: Floats, slope_limit: float
) -> tuple[Floats, Floats]:
    """The light of splines at pixels (across, along), and the places where they are steep."""
    light = np.full(place.shape, np.nan, dtype=np.float32)
    steep = []
    for column in sorted(fits):
        fit, at = fits[column], place[:, column]
        inside = fit.inside(at)
        if not inside.any():
            continue
        shape = fit.spline(at[inside])
        shape[0] = shape[-1] = np.nan
        light[inside, column] = fit.scale * shape
        slope = np.abs(np.diff(shape, prepend=0))
        steep.append(at[inside][slope > slope_limit])
    return light, np.concatenate(steep) if steep else np.zeros(0, dtype=np.float32)


def _compact(place: Floats, steep: Floats, bins: int, pad: int) -> Booleans:
    """Pixels near places that are steep in many columns."""
    from scipy.signal import find_peaks

    found: Booleans = np.zeros(place.shape, dtype=bool)
    if len(steep) < FEWEST:
        return found
    step = native_step(place)
    half = step * bins / 4
    counts, _ = np.histogram(steep, bins=bins, range=(-half, half))
    peaks, _ = find_peaks(counts / max(counts.max(), 1), height=PEAK)
    for middle in np.arange(bins)[peaks] * step / 2 - half:
        found |= (place > middle - pad * step) & (place <= middle + pad * step)
    return found
