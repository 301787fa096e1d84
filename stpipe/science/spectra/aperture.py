"""The aperture of a spectrum: which pixels count as source, which as background, and how much.

Positions are 0-based pixels along the dispersion and across it. An aperture is described by an
EXTRACT1D reference file, in JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stpipe.errors import ReferenceMissing
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.spectra.box_extraction import Background

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stpipe.science.arrays import Doubles
from stpipe.system.safe_yaml import whole_number

__all__ = [
    "Aperture",
    "Limits",
    "centre",
    "find_aperture",
    "odd_smoothing",
]

ANY = "ANY"
FEWEST_SMOOTHED = 3  # pixels
# Polynomials count from the middle of a pixel, first and last pixels from its edge.
EDGE = 0.5

Coefficients = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Limits:
    """The first and the last pixel of a range, both in it, fractions of pixels allowed."""

    first: float
    last: float

    def shifted(self, offset: float) -> Limits:
        """The same range elsewhere.

        Parameters
        ----------
        offset : float, pixels

        Returns
        -------
        Limits
        """
        return Limits(self.first + offset, self.last + offset)

    @property
    def middle(self) -> float:
        """The middle of the range."""
        return (self.first + self.last) / 2


@dataclass(frozen=True)
class Aperture:
    """One aperture of an EXTRACT1D reference file.

    Attributes
    ----------
    along, across
        Where pixels count; what `source`, or `width`, says goes before `across`.
    width
        Pixels across the dispersion, around the trace or the middle of `across`.
    source, background
        Polynomials, lowest power first, in pairs: a lower and an upper limit.
    by_wavelength
        Whether the polynomials are of the wavelength in um, not of the pixel along the dispersion.
    bkg_fit, bkg_order, smoothing_length
        How the background is estimated, see `Background`.
    use_source_posn
        Whether to shift it to where the source should be; None: as is usual.
    trace
        Where the source is (along); NaN where that is not known.
    """

    along: Limits
    across: Limits
    width: float | None = None
    source: Coefficients = ()
    background: Coefficients = ()
    by_wavelength: bool = False
    bkg_fit: str = "poly"
    bkg_order: int = 0
    smoothing_length: int = 0
    use_source_posn: bool | None = None
    trace: Doubles | None = None

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Self:
        """Every pixel of an image.

        Parameters
        ----------
        shape : (int, int)
            Pixels along the dispersion and across it.

        Returns
        -------
        Aperture
        """
        along, across = (Limits(0, size - 1) for size in shape)
        return cls(along, across)

    def shifted(self, offset: float) -> Aperture:
        """The same aperture, moved across the dispersion.

        Parameters
        ----------
        offset : float, pixels

        Returns
        -------
        Aperture
        """
        return replace(
            self,
            across=self.across.shifted(offset),
            source=_raised(self.source, offset),
            background=_raised(self.background, offset),
            trace=None if self.trace is None else self.trace + offset,
        )

    def weights(self, wavelength: Doubles) -> tuple[Doubles, Limits]:
        """How much of each pixel is source, and the mean limits.

        Parameters
        ----------
        wavelength : (along, across) float64, um
            NaN: not lit.

        Returns
        -------
        weights : (along, across) float64
            0 to 1.
        limits : Limits
            Across the dispersion, averaged along it.
        """
        weights, mean = self._of_source(wavelength)
        weights = self._cut(weights)
        return np.where(np.isfinite(wavelength), weights, 0.0), mean

    def region(self, wavelength: Doubles) -> Background | None:
        """Where and how the background is estimated; None without one.

        Parameters
        ----------
        wavelength : (along, across) float64, um

        Returns
        -------
        Background or None
        """
        if not self.background:
            return None
        weights, _ = self._between(self.background, wavelength, whole=self.bkg_fit == "median")
        return Background(self._cut(weights), self.bkg_fit, self.bkg_order, self.smoothing_length)

    def _of_source(self, wavelength: Doubles) -> tuple[Doubles, Limits]:
        if self.source:
            return self._between(self.source, wavelength)
        shape = wavelength.shape
        if self.width is None:
            return _inside(shape, self.across.first, self.across.last), self.across
        middle = self.across.middle if self.trace is None else self.trace[:, np.newaxis]
        half = (self.width - 1) / 2
        mean = float(np.nanmean(middle))
        return _inside(shape, middle - half, middle + half), Limits(mean - half, mean + half)

    def _between(
        self, pairs: Coefficients, wavelength: Doubles, *, whole: bool = False
    ) -> tuple[Doubles, Limits]:
        """Weights of pixels between limits, and the limits of all, averaged along the dispersion."""
        at = np.arange(wavelength.shape[0], dtype=np.float64)[:, np.newaxis]
        at = wavelength if self.by_wavelength else at
        weights, firsts, lasts = np.zeros(wavelength.shape), [], []
        for lower, upper in zip(pairs[::2], pairs[1::2], strict=True):
            first, last = _polynomial(lower, at) + EDGE, _polynomial(upper, at) - EDGE
            weights = np.maximum(weights, _inside(wavelength.shape, first, last, whole=whole))
            firsts.append(float(np.nanmean(first)))
            lasts.append(float(np.nanmean(last)))
        return weights, Limits(min(firsts), max(lasts))

    def _cut(self, weights: Doubles) -> Doubles:
        """Weights without pixels beyond the limits along the dispersion."""
        at = np.arange(len(weights))[:, np.newaxis]
        return np.where((at >= self.along.first) & (at <= self.along.last), weights, 0.0)


def _polynomial(coefficients: Sequence[float], at: Doubles) -> Doubles:
    return np.asarray(np.polynomial.polynomial.polyval(at, coefficients), dtype=np.float64)


def _inside(
    shape: tuple[int, ...], first: float | Doubles, last: float | Doubles, *, whole: bool = False
) -> Doubles:
    """The part of each pixel (along, across) within limits across; 0 or 1 of `whole` pixels."""
    at = np.arange(shape[1], dtype=np.float64)[np.newaxis, :]
    if whole:
        return np.broadcast_to((at >= first) & (at <= last), shape).astype(np.float64)
    part = np.clip(np.minimum(at - first, last - at) + 1, 0, 1)
    return np.broadcast_to(np.nan_to_num(part), shape)


def _raised(pairs: Coefficients, offset: float) -> Coefficients:
    return tuple((first + offset, *rest) for first, *rest in pairs)


def centre(weights: Doubles, row: int | None = None) -> tuple[float, float]:
    """The weighted mean position; across at one pixel along, when it is given.

    Parameters
    ----------
    weights : (along, across) float64
        Where all are 0, every pixel counts.
    row : int, optional
        Pixel along the dispersion.

    Returns
    -------
    along, across : float, pixels from 0
    """
    chosen = weights if row is None else weights[row : row + 1]
    total = chosen.sum()
    if not total:
        chosen, total = np.ones(chosen.shape), float(chosen.size)
    along, across = np.indices(chosen.shape)
    start = row or 0
    return float((along * chosen).sum() / total) + start, float((across * chosen).sum() / total)


# --- reference files --------------------------------------------------------------------------------


def find_aperture(
    path: Path, name: str, order: int, shape: tuple[int, int], direction: int
) -> Aperture | None:
    """The aperture for a slit and an order; None when there is none for that order.

    Parameters
    ----------
    path : Path
        The EXTRACT1D reference file.
    name : str
        Of the slit, or the exposure type where there is one slit.
    order : int
        Spectral order.
    shape : (int, int)
        Pixels of the image along the dispersion and across it.
    direction : {1, 2}
        DISPAXIS: 1 along rows, 2 along columns.

    Returns
    -------
    Aperture or None

    Raises
    ------
    ReferenceMissing
        When the file is no EXTRACT1D reference file, or has no aperture of that name.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"), parse_int=whole_number)["apertures"]
        named = [entry for entry in entries if _is_for(entry, name)]
        fits = [entry for entry in named if entry.get("spectral_order", order) in (order, ANY)]
        if not named:
            raise ReferenceMissing(
                f"reference file {path} has no aperture for {name}; it has "
                f"{', '.join(str(entry.get('id')) for entry in entries)}."
            )
        return _aperture(fits[0], shape, direction) if fits else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceMissing(
            f"reference file {path} is no EXTRACT1D reference file in JSON "
            f"({type(error).__name__}: {error}); get it again or give another override_extract1d."
        ) from error


def _is_for(entry: Mapping[str, Any], name: str) -> bool:
    is_source = entry.get("region_type", "target") == "target"
    return is_source and entry.get("id") in (name, ANY)


def _aperture(entry: Mapping[str, Any], shape: tuple[int, int], direction: int) -> Aperture:
    whole = Aperture.whole(shape)
    along, across = ("x", "y") if direction == HORIZONTAL else ("y", "x")
    fit = entry.get("bkg_fit") or "poly"
    return Aperture(
        along=_limits(entry, along, whole.along),
        across=_limits(entry, across, whole.across),
        width=entry.get("extract_width"),
        source=_pairs(entry, "src_coeff"),
        background=_pairs(entry, "bkg_coeff"),
        by_wavelength=str(entry.get("independent_var", "pixel")).lower().startswith("wavelength"),
        bkg_fit="poly" if fit == "mean" else str(fit),
        bkg_order=0 if fit == "mean" else int(entry.get("bkg_order") or 0),
        smoothing_length=odd_smoothing(entry.get("smoothing_length") or 0),
        use_source_posn=entry.get("use_source_posn"),
    )


def _limits(entry: Mapping[str, Any], axis: str, otherwise: Limits) -> Limits:
    first, last = entry.get(f"{axis}start"), entry.get(f"{axis}stop")
    return Limits(
        otherwise.first if first is None else float(first),
        otherwise.last if last is None else float(last),
    )


def _pairs(entry: Mapping[str, Any], name: str) -> Coefficients:
    found = tuple(tuple(map(float, line)) for line in entry.get(name) or ())
    if len(found) % 2:
        raise ValueError(f"{name} has {len(found)} polynomials, which are no pairs of limits")
    return found


def odd_smoothing(length: float) -> int:
    """A length of smoothing that has a middle: odd, and 0 below 3.

    Parameters
    ----------
    length : float, pixels

    Returns
    -------
    int, pixels
    """
    rounded = round(length)
    if rounded < FEWEST_SMOOTHED:
        return 0
    return rounded if rounded % 2 else rounded - 1
