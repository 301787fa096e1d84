"""Light of 6 um that leaks, in second order, into spectra at 12 um of MIRI's spectrometer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stpipe.models.protocols import Table
    from stpipe.science.arrays import Doubles

__all__ = ["leaked"]

ORDER = 2  # of the light that leaks


def leaked(wavelength: Doubles, source: tuple[Doubles, Doubles], fractions: Table) -> Doubles:
    """Flux that leaks to wavelengths, in the unit of the source.

    Parameters
    ----------
    wavelength : (n,) float64, um
        Around 12 um.
    source : (m,) and (m,) float64
        Rising wavelengths around 6 um, and flux. Beyond them that of the ends is taken; values that
        are not finite do not count.
    fractions : (entries,) with `wavelength` and `frac_leak`
        What part of the light leaks.

    Returns
    -------
    (n,) float64
        NaN without any finite flux.
    """
    at, flux = source
    known = np.isfinite(flux) & np.isfinite(at)
    if not known.any():
        return np.full(len(wavelength), np.nan)
    light = np.interp(wavelength, ORDER * at[known], flux[known])
    found: Doubles = light * np.interp(wavelength, fractions["wavelength"], fractions["frac_leak"])
    return found
