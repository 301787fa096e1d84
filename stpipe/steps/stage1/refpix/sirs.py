"""Drift of rows from reference columns by an optimal filter: simple improved reference subtraction.

Rauscher et al. 2022, "Simple Improved Reference Subtraction for NIRSpec, NIRCam and NIRISS". The filter
differs from output to output, and so does the drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.science.arrays import Doubles

__all__ = ["Filters", "Smoothing", "filtered_drift", "filters_of"]

DEVIATION = 1.48  # standard deviations in a median absolute deviation


@dataclass(frozen=True)
class Smoothing:
    """How a filter is made from its spectrum, and which samples it is used on."""

    halfwidth: int  # rows to each side
    gaussmooth: float  # width in rows of the Gauss curve that it is smoothed with
    sigreject: float  # deviations from the median at which a sample is left out


@dataclass(frozen=True)
class Filters:
    """Filters (outputs, 2 halfwidth + 1) for the reference columns on both sides."""

    left: Doubles
    right: Doubles
    sigreject: float


def filters_of(path: Path, detector: str, smoothing: Smoothing) -> Filters | None:
    """Filters of a detector from a reference file; None when it knows nothing of the detector."""
    import asdf

    with asdf.open(path, memmap=False, lazy_load=False) as file:
        known = {str(name).lower(): content for name, content in file.tree.items()}
        spectra = known.get(detector.lower())
        if spectra is None or not {"gamma", "zeta"} <= set(spectra):
            return None
        left, right = (
            np.stack([_filter(np.asarray(s), smoothing) for s in spectra[name]])
            for name in ("gamma", "zeta")
        )
    return Filters(left, right, smoothing.sigreject)


def _filter(spectrum: npt.NDArray[np.complexfloating], smoothing: Smoothing) -> Doubles:
    reach = smoothing.halfwidth
    middle = len(spectrum) - 1
    whole = np.fft.fftshift(np.fft.irfft(spectrum))
    window = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * smoothing.gaussmooth**2))
    return np.convolve(
        whole[middle - reach : middle + reach + 1], window / window.sum(), mode="same"
    )


def filtered_drift(left: Doubles, right: Doubles, filters: Filters) -> Doubles:
    """Drift (outputs, rows) in DN from samples (rows, columns) of both sides.

    Rows with fewer good samples weigh less; what they lack is made up for.
    """
    return _of_side(left, filters.left, filters) + _of_side(right, filters.right, filters)


def _of_side(values: Doubles, kernels: Doubles, filters: Filters) -> Doubles:
    level = np.median(values)
    spread = DEVIATION * np.median(np.abs(values - level))
    good = np.abs(values - level) <= filters.sigreject * spread
    columns = values.shape[1]
    means, shares = (values * good).sum(axis=1) / columns, good.sum(axis=1) / columns
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([_smooth(means, kernel, shares) for kernel in kernels])


def _smooth(means: Doubles, kernel: Doubles, shares: Doubles) -> Doubles:
    full = np.convolve(np.ones(len(means)), kernel, mode="same")
    return np.convolve(means, kernel, mode="same") * full / np.convolve(shares, kernel, mode="same")
