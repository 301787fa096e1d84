"""From count rates to fluxes: response by wavelength, dispersion, and the loss of sensitivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.errors import InputError
from stpipe.science.dispersion import HORIZONTAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.science.arrays import Doubles, Floats

__all__ = [
    "ARCSEC2",
    "convert",
    "dispersion",
    "relative_response",
    "time_correction",
    "time_corrections",
]

ARCSEC2 = float(np.deg2rad(1 / 3600)) ** 2  # sr
POWERS = {"data": 1, "err": 1, "var_poisson": 2, "var_rnoise": 2, "var_flat": 2}
YEAR = 365.0  # days
METRES = 1e-4  # no spectrum reaches 100 m or begins below 0.1 nm
MICRON = 1e6  # per m


def relative_response(
    wavelength: Floats | Doubles, entry: np.void, *, beyond: float | None = np.nan
) -> Doubles:
    """Relative conversion at the wavelength of each pixel, linear between those of a table.

    Parameters
    ----------
    wavelength : (...) float, um
    entry : row of a PHOTOM table
        With `wavelength` in um (or m), `relresponse`, and in `nelem` how many count.
    beyond : float, optional
        The value outside the table; None: that of its nearer end.

    Returns
    -------
    (...) float64
    """
    count = int(entry["nelem"]) if "nelem" in (entry.dtype.names or ()) else None
    known, response = entry["wavelength"][:count], entry["relresponse"][:count]
    if 0 < known.max() < METRES:
        known = known * MICRON
    order = np.argsort(known, kind="stable")
    asked = np.where(np.isnan(wavelength), -1.0, wavelength)
    found: Doubles = np.interp(asked, known[order], response[order], left=beyond, right=beyond)
    return found


def dispersion(wavelength: Floats | Doubles, direction: int) -> Doubles:
    """How much the wavelength changes from pixel to pixel, without its sign.

    Parameters
    ----------
    wavelength : (rows, columns) float, um
    direction : int
        DISPAXIS.

    Returns
    -------
    (rows, columns) float64, um
    """
    along = 1 if direction == HORIZONTAL else 0
    found: Doubles = np.abs(np.gradient(wavelength.astype(np.float64), axis=along))
    return found


def convert(
    values: Mapping[str, Floats], conversion: float | Floats | Doubles, *, inverse: bool = False
) -> dict[str, Floats]:
    """Values times the conversion, variances times its square.

    Parameters
    ----------
    values : dict of (..., rows, columns) float32
        By the name of the array: `data`, `err`, `var_...`.
    conversion : float or (rows, columns) float32 or float64
    inverse : bool
        Divide instead.

    Returns
    -------
    dict of (..., rows, columns) float32
    """
    factors = {1: conversion, 2: conversion * conversion}
    if inverse:
        return {n: _float(a / factors[POWERS[n]]) for n, a in values.items()}
    return {n: _float(a * factors[POWERS[n]]) for n, a in values.items()}


def _float(array: Floats | Doubles) -> Floats:
    return np.asarray(array, dtype=np.float32)


# --- loss of sensitivity ---------------------------------------------------------------------------


def time_correction(coefficients: Mapping[str, np.void], meta: FlatMetadata) -> float:
    """Sensitivity at the middle of an exposure over that at the reference's epoch.

    Parameters
    ----------
    coefficients : dict
        Of the laws `linear`, `exponential` and `powerlaw`; several multiply.
    meta : mapping
        Metadata by dotted name; `meta.exposure.mid_time` is MJD.

    Returns
    -------
    float

    Raises
    ------
    InputError
        When the header does not say when the exposure was.
    """
    if not coefficients:
        return 1.0
    middle = _mid_time(meta)
    correction = 1.0
    for law, values in coefficients.items():
        c = {name: float(values[name]) for name in (values.dtype.names or ()) if name in _NUMBERS}
        correction *= _LAWS[law](middle - c["t0"], c)
    return correction


def time_corrections(table: Table, meta: FlatMetadata, wavelength: Floats | Doubles) -> Doubles:
    """Sensitivity at the middle of an exposure over that at the reference's epoch, by wavelength.

    It is linear between the wavelengths of the table and beyond them, of which none has gained.

    Parameters
    ----------
    table : (wavelengths) structured array
        The law `powerlaw` at each `binwave` in um.
    meta : mapping
        Metadata by dotted name; `meta.exposure.mid_time` is MJD.
    wavelength : (...) float, um

    Returns
    -------
    (...) float64
        NaN where the wavelength is.

    Raises
    ------
    InputError
        When the header does not say when the exposure was.
    """
    from scipy.interpolate import make_interp_spline

    middle = _mid_time(meta)
    rows = np.sort(table, order="binwave")
    left = np.array([_powerlaw(middle - float(row["t0"]), row) for row in rows])
    line = make_interp_spline(rows["binwave"], np.minimum(left, 1), k=min(1, len(rows) - 1))
    found: Doubles = line(wavelength)
    return found


def _mid_time(meta: FlatMetadata) -> float:
    if meta.get("meta.exposure.mid_time") is None:
        raise InputError(
            f"{meta.get('meta.filename')} lacks EXPMID (meta.exposure.mid_time), from which the loss "
            "of sensitivity is known. Add it, or say apply_time_correction=False."
        )
    return float(meta["meta.exposure.mid_time"])


def _linear(days: float, c: Mapping[str, float]) -> float:
    return 1 - c["lossperyear"] * days / YEAR


def _exponential(days: float, c: Mapping[str, float]) -> float:
    return float(c["amplitude"] * np.exp(-days / c["tau"]) + c["const"])


def _powerlaw(days: float, c: Mapping[str, float] | np.void) -> float:
    value, soft, power = (float(c[name]) for name in ("year1value", "tsoft", "alpha"))
    return float(value * ((days + soft) / (YEAR + soft)) ** power)


_LAWS = {"linear": _linear, "exponential": _exponential, "powerlaw": _powerlaw}
_NUMBERS = ("t0", "lossperyear", "amplitude", "tau", "const", "year1value", "tsoft", "alpha")
