"""Exposures of NIRSpec, made shutters, and the real references of its optics, if they are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.modeling.models import Identity, Shift
from reference_headers import described

from stpipe import models

__all__ = ["HEADER", "OPEN", "chromcorr", "exposure", "metafile", "msa", "msaoper", "optics"]

SHARED = Path(__file__).parents[3] / "shared/data/crds_jwst/references/jwst/nirspec"
OPTICS = {  # disperser and fore are of G140M and F100LP
    "camera": "camera_0004",
    "collimator": "collimator_0004",
    "fpa": "fpa_0005",
    "ote": "ote_0005",
    "wavelengthrange": "wavelengthrange_0004",
    "ifufore": "ifufore_0003",
    "ifupost": "ifupost_0004",
    "ifuslicer": "ifuslicer_0003",
    "disperser": "disperser_0032",
    "fore": "fore_0023",
}
ROWS, COLUMNS = 365, 171
# x, y, width and height of the fixed slits, and where the quadrants begin, in m.
FIXED = (
    (0.0, 3.0e-3, 77e-6, 1.24e-3),
    (0.8e-3, 1.6e-3, 77e-6, 1.24e-3),
    (0.0, 0.2e-3, 155e-6, 1.24e-3),
    (0.0, -1.2e-3, 620e-6, 0.62e-3),
    (20e-3, -2.8e-3, 77e-6, 1.24e-3),
)
QUADRANTS = {
    "Q1": (1.5e-3, 4.5e-3),
    "Q2": (1.5e-3, -39.2e-3),
    "Q3": (-39.7e-3, 4.5e-3),
    "Q4": (-39.7e-3, -39.2e-3),
}
HEADER = {
    "telescope": "JWST",
    "filename": "jw01_nrs1_rate.fits",
    "instrument.name": "NIRSPEC",
    "instrument.detector": "NRS1",
    "instrument.filter": "F100LP",
    "instrument.grating": "G140M",
    "instrument.lamp_state": "NONE",
    "instrument.lamp_mode": "NONE",
    "instrument.fixed_slit": "S200A1",
    "instrument.gwa_xtilt": 0.33187,
    "instrument.gwa_ytilt": 0.12590,
    "instrument.gwa_tilt": 36.0,
    "observation.date": "2026-01-01",
    "observation.time": "08:00:00",
    "observation.program_number": "01234",
    "visit.tsovisit": False,
    "subarray.name": "FULL",
    "subarray.xstart": 1,
    "subarray.ystart": 1,
    "subarray.xsize": 2048,
    "subarray.ysize": 2048,
    "subarray.fastaxis": 2,
    "subarray.slowaxis": 1,
    "wcsinfo.v2_ref": 321.0,
    "wcsinfo.v3_ref": -473.0,
    "wcsinfo.ra_ref": 165.0,
    "wcsinfo.dec_ref": 54.0,
    "wcsinfo.roll_ref": 37.0,
    "wcsinfo.v3yangle": 138.57,
    "wcsinfo.vparity": -1,
    "wcsinfo.velosys": -1000.0,
    "velocity_aberration.scale_factor": 1.00003,
    "dither.position_number": 1,
    "dither.x_offset": 0.03,
    "dither.y_offset": -0.25,
}
# Shutters of the metafile: slitlet, quadrant, row, column, whether the source is in it.
OPEN = (
    (3, 2, 150, 60, False),
    (3, 2, 150, 61, True),
    (7, 1, 160, 70, False),
    (7, 1, 160, 71, True),
    (8, 1, 110, 150, False),
)


def exposure(kind: str, detector: str = "NRS1", *, integrations: int = 0) -> Any:
    """Rates with a level, an exact zero and a NaN, of a full frame, or of its integrations."""
    model: Any = {"NRS_IFU": models.IFUImageModel}.get(kind, models.ImageModel)()
    shape: tuple[int, ...] = (2048, 2048)
    if integrations:
        model, shape = models.CubeModel(), (integrations, 2048, 2048)
    model.data = np.random.default_rng(5).normal(1, 0.1, shape).astype(np.float32)
    model.data[..., 4, :3] = (0, np.nan, 9)
    model.dq = np.zeros(shape, np.uint32)
    changes = {"exposure.type": kind, "instrument.detector": detector}
    for name, value in {**HEADER, **changes}.items():
        model.set(f"meta.{name}", value)
    return model


def optics(**changes: str) -> dict[str, str]:
    """The references of the optics by type; without the shared data tests are skipped."""
    names = {**OPTICS, **changes}
    paths = {reftype: SHARED / f"jwst_nirspec_{name}.asdf" for reftype, name in names.items()}
    for path in paths.values():
        if not path.is_file():
            pytest.skip(f"there is no {path}: the folder of shared data is absent")
    return {reftype: str(path) for reftype, path in paths.items()}


def msa(path: Path) -> str:
    """Shutters on a grid, quadrants beside each other, and the fixed slits between them."""
    model: Any = described(models.MSAModel(), "msa", "NIRSPEC", "NRS1")
    columns = [("NO", "<i4"), *((name, "<f8") for name in ("XC", "YC", "SIZEX", "SIZEY"))]
    number = np.arange(ROWS * COLUMNS)
    table = np.zeros(number.size, columns)
    table["NO"], table["XC"], table["YC"] = (
        number + 1,
        number % ROWS * 105e-6,
        number // ROWS * 204e-6,
    )
    table["SIZEX"], table["SIZEY"] = 78e-6, 178e-6
    for quadrant, (x, y) in QUADRANTS.items():
        model.set(quadrant, {"data": table, "model": Shift(x) & Shift(y)})
    fixed = np.array([(n, *place) for n, place in enumerate(FIXED, 1)], columns)
    model.set("Q5", {"data": fixed, "model": Identity(2)})
    return str(model.save(path))


def chromcorr(path: Path) -> str:
    """No correction of colours."""
    model: Any = described(models.ChromCorrModel(), "chromcorr", "NIRSPEC", "NRS1")
    model.model = Identity(3)
    model.model.inverse = Identity(3)
    for name in ("input_units", "output_units"):
        model.set(f"meta.{name}", units.deg)
    return str(model.save(path))


def msaoper(path: Path) -> str:
    """Shutters that failed open by each of their states, at an edge, off the detector; one did not."""
    import json

    good = {"state": "closed", "TA state": "closed", "Internal state": "normal"}
    shutters = [
        {**good, "Q": 2, "x": 160, "y": 80, "state": "open"},
        {**good, "Q": 1, "x": 160, "y": 71, "TA state": "open"},
        {**good, "Q": 1, "x": 180, "y": 170, "Internal state": "open"},
        {**good, "Q": 3, "x": 5, "y": 3, "state": "open"},
        {**good, "Q": 2, "x": 140, "y": 120},
    ]
    path.write_text(json.dumps({"reftype": "MSAOPER", "msaoper": shutters}))
    return str(path)


def metafile(path: Path) -> Path:
    """A metafile of the shutters `OPEN`, configuration 5, first dither."""
    names = "slitlet_id msa_metadata_id shutter_quadrant shutter_row shutter_column source_id"
    columns = [
        *((name, ">i2") for name in names.split()),
        ("background", "S1"),
        ("shutter_state", "S6"),
        ("estimated_source_in_shutter_x", ">f4"),
        ("estimated_source_in_shutter_y", ">f4"),
        ("dither_point_index", ">i2"),
        ("primary_source", "S1"),
    ]
    rows = [
        (slitlet, 5, quadrant, row, column, slitlet, "NY"[not own], "OPEN", 0.6, 0.4, 1, "NY"[own])
        for slitlet, quadrant, row, column, own in OPEN
    ]
    sources = [("program", ">i4"), ("source_id", ">i4"), ("source_name", "S20"), ("alias", "S31")]
    sources += [("catalog_id", "S20"), ("ra", ">f4"), ("dec", ">f4"), ("preimage_id", "S30")]
    known = [(1234, 3, b"1234_3", b"three", b"1", 165.0, 54.0, b"None", 1.0)]
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.BinTableHDU(np.array(rows, columns), name="SHUTTER_INFO"),
            fits.BinTableHDU(
                np.array(known, [*sources, ("stellarity", ">f8")]), name="SOURCE_INFO"
            ),
        ]
    ).writeto(path)
    return path
