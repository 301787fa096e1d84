"""Slits of NIRSpec with coordinates of a plain kind, and the references of what they lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.modeling.models import Identity, Mapping, Polynomial2D, Scale, Shift
from gwcs import WCS
from reference_headers import described

from stpipe import models
from stpipe.models import dqflags
from stpipe.science.wcs.lrs import world_frame
from stpipe.science.wcs.nirspec import frames

__all__ = ["FIXED", "SHUTTERS", "area", "barshadow", "pathloss", "photom", "slit_wcs", "slits"]

SHAPE = (24, 90)  # rows, columns
STEP = 0.006  # um from column to column
SIZES = {"MOS1x1": (1, 0.6), "MOS1x3": (3, 1.7)}  # shutters, half of the height that is known
# Name, SRCTYPE, place of the source, state of the shutters.
SHUTTERS = [
    ("1", "POINT", (0.12, -0.2), "1x1"),
    ("2", "EXTENDED", (0.0, 0.1), "11x01"),
    ("3", "EXTENDED", (-0.1, 0.2), "x1"),
    ("4", "POINT", (0.1, 0.3), "1x"),
    ("5", "EXTENDED", (0.0, 0.0), "x"),
    ("6", "POINT", (0.2, 0.0), "100x0"),
    ("7", "EXTENDED", (0.05, -0.1), "11111x"),
]
FIXED = [
    ("S200A1", "POINT", (0.13, -0.3), ""),
    ("S200A2", "EXTENDED", (0.0, 0.0), ""),
    ("S1600A1", "EXTENDED", (0.0, 0.0), ""),
]


def slits(kind: str, listed: Sequence[tuple[Any, ...]], *, shift: float = 0.0) -> Any:
    """An exposure of slits with noise and unknown pixels.

    `shift` is by how much the wavelengths of point sources are corrected, um.
    """
    rng = np.random.default_rng(11)
    exposure = models.MultiSlitModel()
    header = {
        "telescope": "JWST",
        "exposure.type": kind,
        "exposure.exposure_time": 300.0,
        "instrument.name": "NIRSPEC",
        "instrument.filter": "F100LP",
        "instrument.grating": "G140M",
    }
    for name, value in header.items():
        exposure.set(f"meta.{name}", value)
    for name, source_type, (x, y), state in listed:
        corrected = shift if source_type == "POINT" else 0.0
        wcs = slit_wcs(corrected)
        values = {
            "name": name,
            "source_type": source_type,
            "source_xpos": x,
            "source_ypos": y,
            "wavelength_corrected": bool(corrected),
            "meta.wcs": wcs,
            "meta.wcsinfo.dispersion_direction": 1,
            **(
                {
                    "shutter_state": state,
                    "slitlet_id": int(name),
                    "slit_yscale": 1.146,
                    "quadrant": 2,
                    "xcen": 7,
                    "ycen": 9,
                }
                if state
                else {}
            ),
        }
        exposure.slits.append({})
        slit = exposure.slits[-1]
        for array, pixels in pixels_of(rng).items():
            setattr(slit, array, pixels)
        rows, columns = np.indices(SHAPE, dtype=float)
        slit.wavelength = wcs(columns, rows)[2].astype(np.float32)
        for path, value in values.items():
            slit.set(path, value)
    return exposure


def pixels_of(rng: np.random.Generator) -> dict[str, Any]:
    """Arrays of a slit."""
    made: dict[str, Any] = {"data": rng.normal(3, 1, SHAPE)}
    for name in ("var_poisson", "var_rnoise", "var_flat"):
        made[name] = rng.uniform(0.01, 0.1, SHAPE)
    made["err"] = np.sqrt(sum(made[n] for n in made if n.startswith("var_")))
    made["data"][rng.random(SHAPE) < 0.02] = np.nan
    arrays = {name: array.astype(np.float32) for name, array in made.items()}
    flagged = rng.random(SHAPE) < 0.02
    return {**arrays, "dq": np.where(flagged, dqflags.DO_NOT_USE, 0).astype(np.uint32)}


def slit_wcs(shift: float = 0.0) -> WCS:
    """Coordinates of a tilted slit: places in its heights, and wavelengths."""
    across = Polynomial2D(1, c0_0=-2.4, c0_1=0.2, c1_0=0.001)
    wave = Polynomial2D(1, c0_0=1e-6, c1_0=STEP * 1e-6, c0_1=2e-10)
    into = Mapping((0, 1, 0, 1, 0, 1)) | Polynomial2D(1) & across & wave
    out = Identity(2) & Scale(1e6)
    within = [(frames.pixels("detector"), into), (frames.slit(), out)]
    if shift:
        corrected = Identity(2) & Shift(shift * 1e-6)
        within[1:] = [
            (frames.slit(), corrected),
            (frames._with_wavelength("wavecorr_frame", ("x", "y")), out),
        ]
    wcs = WCS([*within, (world_frame(), None)])
    wcs.bounding_box = ((-0.5, SHAPE[1] - 0.5), (-0.5, SHAPE[0] - 0.5))
    return wcs


def pathloss(path: Path, names: Sequence[str], kind: str) -> Path:
    """A PATHLOSS reference whose wavelengths end within the spectra."""
    rng = np.random.default_rng(5)
    model = models.PathlossModel()
    waves = 1.0317e-6 + 0.09e-6 * np.arange(6)
    for name in names:
        shutters, half = SIZES.get(name, (None, 0.6))
        x, y = np.linspace(-0.6, 0.6, 13), np.linspace(-half, half, 31)
        point = 0.9 - 0.5 * x**2 - 0.2 * y[:, None] ** 2 + rng.normal(0, 0.02, (len(waves), 31, 13))
        uniform = rng.uniform(0.6, 0.9, len(waves))
        model.apertures.append({"name": name, "pointsource_data": point, "uniform_data": uniform})
        part = model.apertures[-1]
        if shutters:
            part.shutters = shutters
        starts = {
            "pointsource": [(x[0], x), (y[0], y), (waves[0], waves)],
            "uniform": [(waves[0], waves)],
        }
        for group, axes in starts.items():
            for number, (start, values) in enumerate(axes, start=1):
                keywords = {
                    "crpix": 1.0,
                    "crval": float(start),
                    "cdelt": float(values[1] - values[0]),
                }
                for keyword, value in keywords.items():
                    part.set(f"{group}_wcs.{keyword}{number}", value)
    model.meta.exposure.type = kind
    return Path(described(model, "pathloss", "NIRSPEC", "NRS1").save(path))


def barshadow(path: Path) -> Path:
    """A BARSHADOW reference: a soft shutter alone, and bars between open ones."""
    model = models.BarshadowModel()
    y = (np.arange(1001)[:, None] - 500) / 500
    soft = 0.02 + 0.0002 * np.arange(101)
    alone = 0.1 + 0.9 / (1 + np.exp((np.abs(y) - 0.45) / soft))
    model.data1x1 = alone.astype(np.float32)
    model.data1x3 = (1 - 0.3 * np.exp(-0.5 * ((np.abs(y) - 0.5) / soft) ** 2)).astype(np.float32)
    model.crval1, model.cdelt1, model.crval2, model.cdelt2 = 0.9e-6, 0.007e-6, -1.0, 0.002
    return Path(described(model, "barshadow", "NIRSPEC", "NRS1").save(path))


def photom(path: Path) -> Path:
    """A PHOTOM reference of shutters: fluxes that change with the wavelength."""
    model = models.NrsMosPhotomModel()
    waves = np.linspace(0.9, 1.7, 9)
    columns = [("filter", "S12"), ("grating", "S15"), ("photmj", "<f4"), ("uncertainty", "<f4")]
    columns += [("nelem", "<i2"), *((n, "<f4", waves.shape) for n in ("wavelength", "relresponse"))]
    table = np.zeros(1, [*columns, ("reluncertainty", "<f4", waves.shape)])
    table["filter"], table["grating"], table["photmj"], table["nelem"] = (
        b"F100LP",
        b"G140M",
        3e-7,
        9,
    )
    table["wavelength"], table["relresponse"] = waves, 1 + 0.4 * (waves - 1.2) ** 2
    model.phot_table = table
    return Path(described(model, "photom", "NIRSPEC", "NRS1").save(path))


def area(path: Path) -> Path:
    """An AREA reference of the one shutter that all slitlets have here."""
    model = models.NirspecMosAreaModel()
    kind = [(name, "<i2") for name in ("quadrant", "shutter_x", "shutter_y")]
    model.area_table = np.array([(2, 7, 9, 0.02)], [*kind, ("pixarea", "<f4")])
    return Path(described(model, "area", "NIRSPEC", "NRS1").save(path))
