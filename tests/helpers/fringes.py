"""Slices of MIRI's spectrometer with residual fringes, and the references that tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mrs_optics import HEADER
from reference_headers import described

from stpipe import models

__all__ = ["AMPLITUDE", "exposure", "fringefreq", "regions", "wavelengths", "with_fringes"]

ROWS, SLICE = 1024, 4  # columns of a slice; two columns beside each see nothing
AMPLITUDE, PERIOD, DICHROIC = 0.03, 2.95, 0.42  # of the fringes, 1/cm
RANGES = {1: (4.90, 5.74), 2: (7.51, 8.77), 3: (11.55, 13.47), 4: (17.7, 20.95)}  # um, band SHORT
NUMBERS = {"MIRIFUSHORT": (101, 203), "MIRIFULONG": (402, 305)}
LINE = 400  # row


def _channels(detector: str) -> list[int]:
    return [number // 100 for number in NUMBERS[detector]]


def wavelengths(detector: str) -> Any:
    """Wavelength of every pixel, um: rising in channels 1 and 2, falling in 3 and 4."""
    columns = []
    for channel in _channels(detector):
        ends = RANGES[channel] if channel < 3 else RANGES[channel][::-1]
        columns += [np.linspace(*ends, ROWS)] * (SLICE + 2)
    return np.stack(columns, axis=1)


def with_fringes(detector: str, dichroic: float = 0.0) -> Any:
    """What light is multiplied by."""
    wavenumber = 1e4 / wavelengths(detector)
    phases = np.arange(wavenumber.shape[1])
    slow = np.sin(2 * np.pi * wavenumber / PERIOD + phases)
    fast = np.sin(2 * np.pi * wavenumber / DICHROIC + phases)
    return 1 + AMPLITUDE * slow + dichroic * fast


def exposure(detector: str = "MIRIFUSHORT", noise: float = 0.002, dichroic: float = 0.0) -> Any:
    """A continuum with a line and fringes in the middle columns of each slice."""
    rng = np.random.default_rng(6)
    slices = labels(detector)
    rows = np.arange(ROWS)[:, None]
    light = 100 * (1 + 0.3 * np.sin(rows / 300)) * (slices > 0)
    light = light + 300 * np.exp(-0.5 * ((rows - LINE) / 1.5) ** 2) * (slices > 0)
    light = light * with_fringes(detector, dichroic) * rng.normal(1, noise, slices.shape)
    model: Any = models.IFUImageModel()
    model.data = light.astype(np.float32)
    model.data[20, 3] = np.nan
    model.err = np.where(slices > 0, 0.5, 0.1).astype(np.float32)
    model.err[600:610] = 20
    model.dq = np.where(np.isfinite(model.data), 0, 1).astype(np.uint32)
    channels = "".join(map(str, sorted(_channels(detector))))
    instrument = {"detector": detector, "channel": channels, "band": "SHORT"}
    for name, value in HEADER.items():
        model.set(f"meta.{name}", value)
    for name, value in instrument.items():
        model.set(f"meta.instrument.{name}", value)
    model.meta.cal_step.fringe = "COMPLETE"
    model.meta.wcs = _wcs(detector)
    return model


def labels(detector: str) -> Any:
    """Numbers of slices, which lean a little."""
    found = np.zeros((ROWS, 2 * (SLICE + 2)), np.int32)
    for place, number in enumerate(NUMBERS[detector]):
        first = place * (SLICE + 2) + 1
        found[:, first : first + SLICE] = number
        found[: ROWS // 3, first + SLICE - 1] = 0
        found[10:, first] = 0  # too short to be fitted
    return found


def _wcs(detector: str) -> Any:
    from astropy import units
    from astropy.coordinates import ICRS
    from astropy.modeling.models import Const1D, Mapping, Tabular2D
    from gwcs import WCS
    from gwcs.coordinate_frames import CelestialFrame, CompositeFrame, Frame2D, SpectralFrame

    waves = wavelengths(detector).T
    table = Tabular2D(
        tuple(np.arange(size, dtype=float) for size in waves.shape), waves, bounds_error=False
    )
    transform = Mapping((0, 0, 0, 1)) | Const1D(30.0) & Const1D(-20.0) & table
    world = CompositeFrame(
        [
            CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=ICRS()),
            SpectralFrame(name="spectral", axes_order=(2,), unit=(units.um,)),
        ],
        name="world",
    )
    return WCS([(Frame2D(name="detector", unit=(units.pix,) * 2), transform), (world, None)])


def regions(path: Path, detector: str = "MIRIFUSHORT") -> str:
    """All planes alike."""
    model: Any = models.RegionsModel()
    model.regions = np.stack([labels(detector)] * 9)
    return str(described(model, "regions", "MIRI", detector).save(path))


def fringefreq(path: Path, detector: str = "MIRIFUSHORT", least_snr: float = 10.0) -> str:
    """Two kinds of fringes, of which channels 1 and 2 have one."""
    kinds = [("slice", float), ("ffreq", float, 2), ("dffreq", float, 2), ("min_nfringes", int, 2)]
    kinds += [("max_nfringes", int, 2), ("min_snr", float, 2), ("pgram_res", float, 2)]
    rows = np.zeros(2, kinds)
    rows["slice"] = NUMBERS[detector]
    rows["max_nfringes"], rows["pgram_res"], rows["min_snr"] = (5, 4), 0.001, least_snr
    for row in rows:
        long = row["slice"] > 300
        row["ffreq"], row["dffreq"] = (2.9, 0.4 * long), (1.0, 0.15 * long)
    model: Any = models.FringeFreqModel()
    for band in ("short", "medium", "long"):
        model.set(f"rfc_freq_{band}_table", rows)
    model.max_amp_table = np.array(
        [(4.0, 0.15), (30.0, 0.25)], [("wavelength", float), ("amplitude", float)]
    )
    return str(described(model, "fringefreq", "MIRI", detector).save(path))
