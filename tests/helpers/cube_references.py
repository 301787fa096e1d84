"""The reference of cubes that tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from reference_headers import described

from stpipe import models

__all__ = ["cubepar"]

MRS = [
    ("1", "SHORT", 0.13, 0.0008, 4.9, 5.74),
    ("2", "SHORT", 0.17, 0.0013, 7.51, 8.77),
    ("1", "MEDIUM", 0.13, 0.0008, 5.66, 6.63),
]
NIRSPEC = [("G140M", "F100LP", 0.1, 0.0018, 0.97, 1.89), ("PRISM", "CLEAR", 0.1, 0.005, 0.6, 5.3)]


def cubepar(path: Path, instrument: str) -> str:
    """Sizes of cubes with the names, spaxels and steps of the observatory's."""
    miri = instrument == "MIRI"
    model: Any = models.MiriIFUCubeParsModel() if miri else models.NirspecIFUCubeParsModel()
    for name, array in model.schema.arrays.items():
        if name.endswith("_wavetable"):
            table = _waves(array.dtype, 0.0 if miri else -4.3)
        else:
            table = _bands(array.dtype, MRS if miri else NIRSPEC)
        model.set(name, table)
    return str(described(model, "cubepar", instrument, "ANY").save(path))


def _bands(dtype: Any, rows: list[Any]) -> Any:
    table = np.zeros(len(rows), dtype)
    for place, (first, second, spaxel, step, low, high) in enumerate(rows):
        known = {"spaxelsize": spaxel, "spectralstep": step, "wavemin": low, "wavemax": high}
        known |= {"roispatial": 1.6 * spaxel, "roispectral": 3 * step, "scalerad": 0.4 * spaxel}
        known |= {"power": 2.0, "softrad": 0.01}
        names = table.dtype.names or ()
        table[names[0]][place], table[names[1]][place] = first, second
        for name in names[2:]:
            table[name][place] = known[name]
    return table


def _waves(dtype: Any, shift: float) -> Any:
    waves = np.arange(4.9, 9.6, 0.002) + shift
    table = np.zeros(waves.size, dtype)
    known = {"roispatial": 0.2, "roispectral": 0.006, "power": 2.0, "softrad": 0.01}
    for name in table.dtype.names or ():
        table[name] = waves if name == "wavelength" else known.get(name, 0.06)
    return table
