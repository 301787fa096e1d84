"""Values and their variances, divided by a correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.science.arrays import Floats

__all__ = ["divided"]


def divided(
    values: Mapping[str, Floats], by: Floats, *, inverse: bool = False
) -> dict[str, Floats]:
    """Values and errors over a correction, variances over its square.

    Parameters
    ----------
    values : mapping of (..., rows, columns) float32
        By name; those that begin with `var_` are variances.
    by : (rows, columns) float32
        NaN where it is unknown.
    inverse : bool
        Multiply instead.

    Returns
    -------
    dict of (..., rows, columns) float32
    """
    factors = {False: by, True: by * by}
    change = np.multiply if inverse else np.divide
    with np.errstate(divide="ignore", invalid="ignore"):
        return {n: change(v, factors[n.startswith("var_")]) for n, v in values.items()}
