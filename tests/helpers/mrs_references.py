"""Reference files of MIRI's MRS that tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mrs_optics import SHAPE
from reference_headers import described

from stpipe import models
from stpipe.models import dqflags

__all__ = ["image", "photom", "xartcorr"]


def xartcorr(path: Path, rows: int = SHAPE[0]) -> str:
    """Scattered light that differs by channel, band and row."""
    model: Any = models.MirMrsXArtCorrModel()
    slope = 1 + 0.2 * (np.arange(rows) / rows - 0.5)
    rng = np.random.default_rng(3)
    for name, array in model.schema.arrays.items():
        table = np.zeros(rows, array.dtype)
        table["yrow"] = np.arange(rows)
        usual = {"lor_fwhm": 100, "gau_fwhm": 1.8, "gau_xoff": 3.2, "gau_scale1": 0.01}
        for column, value in (usual | {"lor_scale": 4e-4, "gau_scale2": 0.002}).items():
            table[column] = value * rng.uniform(0.9, 1.1) * slope
        model.set(name, table)
    return str(described(model, "mrsxartcorr", "MIRI", "MIRIFUSHORT").save(path))


def image(path: Path, kind: str) -> str:
    """A flat or fringes, of which some pixels are not known."""
    model: Any = getattr(models, f"{kind.capitalize()}Model")()
    rng = np.random.default_rng(len(kind))
    model.data = rng.normal(1, 0.05, SHAPE).astype(np.float32)
    model.data[rng.random(SHAPE) < 1e-3] = np.nan
    model.err = np.full(SHAPE, 0.01, np.float32)
    model.dq = np.where(rng.random(SHAPE) < 1e-3, dqflags.DO_NOT_USE, 0).astype(np.uint32)
    return str(described(model, kind, "MIRI", "MIRIFUSHORT").save(path))


def photom(path: Path, *, with_losses: bool = True) -> str:
    """A conversion for each pixel, and losses of sensitivity that grow with the wavelength."""
    model: Any = models.MirMrsPhotomModel()
    rng = np.random.default_rng(8)
    model.data = rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)
    model.data[rng.random(SHAPE) < 1e-3] = np.nan
    model.dq = np.where(rng.random(SHAPE) < 1e-3, dqflags.NON_SCIENCE, 0).astype(np.uint32)
    model.meta.photometry.conversion_megajanskys = 0.8
    model.meta.photometry.pixelarea_steradians = 8e-13
    model.meta.photometry.pixelarea_arcsecsq = 0.034
    for channel, start in enumerate((5.0, 7.6, 11.7, 18.0) if with_losses else (), 1):
        name = f"timecoeff_powerlaw_ch{channel}"
        table = np.zeros(4, model.schema.arrays[name].dtype)
        table["binwave"] = start * np.array([1.0, 1.05, 1.1, 1.15])
        table["alpha"] = -0.02 * channel * np.arange(1, 5)
        table["year1value"], table["tsoft"], table["t0"] = (1.01, 0.97, 0.96, 0.94), 30, 59_700
        model.set(name, table)
    return str(described(model, "photom", "MIRI", "MIRIFUSHORT").save(path))
