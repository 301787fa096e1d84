"""Extracted spectra of MIRI's spectrometer, and the reference of what leaks between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from reference_headers import described

from stpipe import models

__all__ = ["mrsptcorr", "spectrum"]

BANDS = {("1", "MEDIUM"): (5.66, 6.63), ("3", "SHORT"): (11.55, 13.47), ("2", "LONG"): (10.0, 11.7)}


def spectrum(channel: str, band: str, flux: float, kind: str = "MIR_MRS") -> Any:
    """A spectrum with a slope."""
    waves = np.linspace(*BANDS.get((channel, band), (5.0, 14.0)), 60)
    model: Any = models.MRSMultiSpecModel()
    model.spec.append({})
    part = model.spec[0]
    table = np.zeros(len(waves), part.schema.arrays["spec_table"].dtype)
    table["WAVELENGTH"], table["FLUX_ERROR"], table["NPIXELS"] = waves, 0.01, 20
    table["FLUX"] = flux * (1 + 0.2 * (waves - waves[0]))
    table["RF_FLUX"] = 1.01 * table["FLUX"]
    part.spec_table = table
    part.set_units("spec_table", {"WAVELENGTH": "um", "FLUX": "Jy", "RF_FLUX": "Jy"})
    part.source_type, part.name = "POINT", kind
    header = {
        "telescope": "JWST",
        "filename": f"jw01_ch{channel}-{band.lower()}_x1d.fits",
        "exposure.type": kind,
        "instrument.name": "MIRI",
        "instrument.detector": "MIRIFUSHORT" if channel in "12" else "MIRIFULONG",
        "instrument.channel": channel,
        "instrument.band": band,
        "observation.date": "2026-01-01",
        "observation.time": "08:00:00",
    }
    for name, value in header.items():
        model.set(f"meta.{name}", value)
    return model


def mrsptcorr(path: Path) -> str:
    """A leak of up to 3 % at 12.2 um."""
    model: Any = models.MirMrsPtCorrModel()
    waves = np.linspace(11.4, 13.6, 40)
    table = np.zeros(len(waves), model.schema.arrays["leakcor_table"].dtype)
    table["wavelength"] = waves
    table["frac_leak"] = 0.03 * np.exp(-0.5 * ((waves - 12.2) / 0.3) ** 2)
    model.leakcor_table = table
    return str(described(model, "mrsptcorr", "MIRI", "MIRIFULONG").save(path))
