"""In which direction wavelengths run on the detector, as DISPAXIS says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.science.arrays import Item

__all__ = ["HORIZONTAL", "VERTICAL", "turned"]

HORIZONTAL = 1  # wavelengths run along rows
VERTICAL = 2  # wavelengths run along columns


def turned(array: npt.NDArray[Item], direction: int) -> npt.NDArray[Item]:
    """The last two axes as (along, across), of an image whose wavelengths run in `direction`.

    Parameters
    ----------
    array : (..., rows, columns)
    direction : {1, 2}
        DISPAXIS: 1 along rows, 2 along columns.

    Returns
    -------
    (..., along, across) of the dtype of `array`
        A view.
    """
    return np.swapaxes(array, -1, -2) if direction == HORIZONTAL else array
