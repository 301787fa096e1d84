"""The profile of a point source across the dispersion, on the pixels of a spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.spectra.box_extraction import Background
from stpipe.science.spectra.optimal_extraction import fit_profiles

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles

__all__ = ["PointSpread", "Traces", "best_traces"]


@dataclass(frozen=True)
class PointSpread:
    """The light of a point source across the dispersion, by wavelength.

    Attributes
    ----------
    light : (wavelengths, places) float64
        In any unit.
    wavelength : (wavelengths,) float64, um
        In any order; NaN counts as missing.
    samples : float
        Places of a pixel.
    centre : float
        The place of the source, from 0.
    """

    light: Doubles
    wavelength: Doubles
    samples: float
    centre: float

    def on_pixels(self, wavelength: Doubles, trace: Doubles) -> Doubles:
        """The part of the light in each pixel, linear between places and wavelengths.

        Parameters
        ----------
        wavelength : (along, across) float64, um
            NaN: not lit.
        trace : (along,) float64, pixels from 0
            Where the source is across the dispersion; NaN where that is not known.

        Returns
        -------
        (along, across) float64
            Of sum 1 at every pixel along the dispersion; 0 where the light is not known.
        """
        from scipy.ndimage import map_coordinates

        order = np.argsort(self.wavelength)
        order = order[np.isfinite(self.wavelength[order])]
        at = np.interp(wavelength, self.wavelength[order], order, left=np.nan, right=np.nan)
        across = np.arange(wavelength.shape[1])
        places = (across - trace[:, np.newaxis]) * self.samples + self.centre
        known = np.isfinite(at) & np.isfinite(places)
        found = np.zeros(wavelength.shape)
        found[known] = map_coordinates(self.light, [at[known], places[known]], order=1)
        total = found.sum(axis=1, keepdims=True)
        parts: Doubles = np.divide(found, total, out=np.zeros(found.shape), where=total != 0)
        return parts


@dataclass(frozen=True)
class Traces:
    """Where a source is, and where a subtracted image of it may be.

    Attributes
    ----------
    trace : (along,) float64, pixels from 0
        Across the dispersion; NaN where that is not known.
    nod : float or None, pixels
        By how much the image that a nod left is below; None without one.
    """

    trace: Doubles
    nod: float | None = None

    def profiles(self, spread: PointSpread, wavelength: Doubles) -> Doubles:
        """The profile of the source, and that of its image, which is negative.

        Parameters
        ----------
        spread : PointSpread
        wavelength : (along, across) float64, um

        Returns
        -------
        (sources, along, across) float64
        """
        source = spread.on_pixels(wavelength, self.trace)
        if self.nod is None:
            return source[np.newaxis]
        return np.stack([source, -spread.on_pixels(wavelength, self.trace - self.nod)])


def best_traces(
    image: Doubles, variance: Doubles, wavelength: Doubles, spread: PointSpread, start: Traces
) -> Traces:
    """Move the traces to where profiles and a level fit an image best.

    Parameters
    ----------
    image : (along, across) float64
        NaN counts as missing.
    variance : (along, across) float64
        Of the read noise, in the square of the image's unit.
    wavelength : (along, across) float64, um
        NaN: not lit, and without influence.
    spread : PointSpread
    start : Traces
        Where they should be.

    Returns
    -------
    Traces
        Of the least sum of squared deviations by variance near the start, by Nelder and Mead.
    """
    from scipy.optimize import minimize

    usable = np.isfinite(wavelength) & np.isfinite(image) & (variance > 0)
    noise = np.where(usable, variance, np.inf)
    values = np.where(usable, image, 0.0)
    level = Background(np.zeros(image.shape))

    def moved(shifts: Doubles) -> Traces:
        nod = None if start.nod is None else float(shifts[1])
        return Traces(start.trace - shifts[0], nod)

    def deviation(shifts: Doubles) -> float:
        profiles = moved(shifts).profiles(spread, wavelength)
        scene = fit_profiles(image, {"rnoise": variance}, profiles, level).scene
        return float((((scene - values) ** 2) / noise).sum())

    first = [0.0] if start.nod is None else [0.0, start.nod]
    return moved(minimize(deviation, first, method="Nelder-Mead").x)
