"""Divide images by the response of their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.models import dqflags
from stpipe.science.arrays import bits_where, has

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.science.arrays import Bits, Floats

__all__ = ["apply_flat", "apply_flat_to_guider", "usable_flat"]


def usable_flat(flat: Floats, dq: Bits) -> tuple[Floats, Bits]:
    """The flat with 1 where it is unknown, and its flags completed.

    Parameters
    ----------
    flat : (rows, columns) float32
    dq : (rows, columns) uint32

    Returns
    -------
    flat : (rows, columns) float32
    dq : (rows, columns) uint32
    """
    unknown = np.isnan(flat) | (flat == 0) | has(dq, dqflags.NO_FLAT_FIELD)
    dq = dq | bits_where(np.isnan(flat) | (flat == 0), dqflags.NO_FLAT_FIELD)
    dq |= bits_where(unknown, dqflags.DO_NOT_USE)
    return np.where(has(dq, dqflags.DO_NOT_USE), np.float32(1), flat), dq


def apply_flat(
    values: Mapping[str, Floats], flat: Floats, error: Floats, *, inverse: bool = False
) -> dict[str, Floats]:
    """Flat-fielded values with their variances and errors.

    Parameters
    ----------
    values : mapping of (..., rows, columns) float32
        `data`, `var_poisson` and `var_rnoise`.
    flat, error : (rows, columns) float32
        The flat and its error; the flat has no zeros.
    inverse : bool
        Multiply instead of divide; then the flat's error adds nothing.

    Returns
    -------
    dict of (..., rows, columns) float32
        The same, `var_flat` and `err`.
    """
    square = flat * flat
    if inverse:
        data = values["data"] * flat
        variances = {n: values[n] * square for n in ("var_poisson", "var_rnoise")}
        variances["var_flat"] = np.zeros_like(data)
    else:
        data = values["data"] / flat
        variances = {n: values[n] / square for n in ("var_poisson", "var_rnoise")}
        variances["var_flat"] = (data / flat * error) ** 2
    return {"data": data, "err": np.sqrt(sum(variances.values())), **variances}


def apply_flat_to_guider(
    data: Floats, err: Floats, flat: tuple[Floats, Floats], inverse: bool
) -> tuple[Floats, Floats]:
    """Rates of the guider and their errors, NaN where one of them is.

    Parameters
    ----------
    data, err : (images, rows, columns) float32
    flat : two of (rows, columns) float32
        The flat and its error.
    inverse : bool
        Multiply instead of divide, and leave errors alone.

    Returns
    -------
    data, err : (images, rows, columns) float32
    """
    response, error = flat
    rates = data * response if inverse else data / response
    errors = err if inverse else np.sqrt(err**2 + rates**2 / (response * response) * error**2)
    invalid = np.isnan(rates) | np.isnan(errors)
    unknown = np.float32(np.nan)
    return np.where(invalid, unknown, rates), np.where(invalid, unknown, errors)
