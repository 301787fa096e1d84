"""Small exposures of NIRSpec's slits, cut out, with tilted spectra whose wavelengths are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from reference_headers import described

from stpipe import models

__all__ = [
    "bright_object",
    "dflat",
    "fflat",
    "fixed_slits",
    "place_on_detector",
    "quadrants",
    "sflat",
    "shutters",
    "wave",
    "wavecorr",
]

ROWS, COLUMNS = 12, 90
START, STEP, TILT = 1.0, 0.008, 0.001  # um, um per column, um per row
LIT = (1.5, 9.5)  # rows that light of the slit reaches
SUBARRAY = (1, 21)  # its first column and row on the detector, from 1
# What all exposures have; places of slits are below.
HEADER = {
    "telescope": "JWST",
    "filename": "jw01_nrs1_srctype.fits",
    "instrument.name": "NIRSPEC",
    "instrument.detector": "NRS1",
    "instrument.filter": "F100LP",
    "instrument.grating": "G140M",
    "observation.date": "2026-01-01",
    "observation.time": "08:00:00",
    "subarray.xstart": SUBARRAY[0],
    "subarray.ystart": SUBARRAY[1],
}


def place_on_detector(slit: Any) -> tuple[slice, slice]:
    """Rows and columns of the detector that a slit shows."""
    y, x = slit.ystart + SUBARRAY[1] - 2, slit.xstart + SUBARRAY[0] - 2
    return slice(y, y + ROWS), slice(x, x + COLUMNS)


def wave(x: Any, y: Any) -> Any:
    """The wavelength (um) of a pixel of a slit, for light of the middle of its width."""
    return START + STEP * x + TILT * y


def fixed_slits() -> Any:
    """A point source beside the middle of the target's slit, and two slits of background."""
    exposure = _many("NRS_FIXEDSLIT")
    exposure.meta.instrument.fixed_slit = "S200A1"
    for number, name in enumerate(("S200A1", "S200A2", "S1600A1")):
        known = {
            "source_type": "EXTENDED" if number else "POINT",
            "source_xpos": 0.3 * (not number),
        }
        exposure.slits.append({"name": name, "meta.exposure.type": "NRS_FIXEDSLIT", **known})
        _fill(exposure.slits[-1], number)
    return exposure


def shutters() -> Any:
    """Slitlets of three quadrants: a point source, an extended one, another point source."""
    exposure = _many("NRS_MSASPEC")
    for number, (quadrant, place) in enumerate(((1, -0.25), (2, 0.1), (4, 0.2))):
        exposure.slits.append(
            {
                "name": str(number + 7),
                "meta.exposure.type": "NRS_MSASPEC",
                "quadrant": quadrant,
                "xcen": 20 + number,
                "ycen": 5 + 2 * number,
                "source_type": ("POINT", "EXTENDED", "POINT")[number],
                "source_xpos": place,
            }
        )
        _fill(exposure.slits[-1], number)
    return exposure


def shutters_and_fixed_slit() -> Any:
    """The slitlets, and the target's slit of an exposure of fixed slits."""
    exposure = shutters()
    exposure.slits.extend([fixed_slits().slits[0]])
    exposure.slits[-1].quadrant, exposure.slits[-1].meta.exposure.type = 5, "NRS_MSASPEC"
    return exposure


def for_fixed_slits(overrides: dict[str, str]) -> dict[str, str]:
    """Overrides for the fixed slits of an exposure of shutters."""
    return {name.replace("override_", "override_fixed_slit_"): p for name, p in overrides.items()}


def bright_object(integrations: int = 3) -> Any:
    """A point source in the wide slit, several integrations."""
    slit = models.SlitModel()
    describe(slit, "NRS_BRIGHTOBJ")
    slit.name, slit.source_type, slit.source_xpos = "S1600A1", "POINT", -0.12
    _fill(slit, 1, (integrations,))
    return slit


def _many(kind: str) -> Any:
    exposure = models.MultiSlitModel()
    describe(exposure, kind)
    return exposure


def describe(exposure: Any, kind: str) -> None:
    for name, value in {**HEADER, "exposure.type": kind}.items():
        exposure.set(f"meta.{name}", value)
    for step in ("assign_wcs", "extract_2d", "srctype"):
        exposure.set(f"meta.cal_step.{step}", "COMPLETE")


def _fill(slit: Any, number: int, integrations: tuple[int, ...] = ()) -> None:
    """Rates, errors, wavelengths and coordinates; each slit has a place of its own."""
    rng = np.random.default_rng(number)
    shape = (*integrations, ROWS, COLUMNS)
    slit.data = rng.uniform(10, 20, shape).astype(np.float32)
    slit.var_poisson, slit.var_rnoise = rng.uniform(0.1, 1, (2, *shape)).astype(np.float32)
    slit.err = np.sqrt(slit.var_poisson + slit.var_rnoise)
    slit.dq = np.where(rng.random(shape) < 0.02, 1, 0).astype(np.uint32)
    slit.xstart, slit.ystart = 1 + 40 * number, 5 + 16 * number
    slit.xsize, slit.ysize = COLUMNS, ROWS
    slit.meta.wcsinfo.dispersion_direction = 1
    slit.meta.wcs = wcs()
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    slit.wavelength = slit.meta.wcs(x, y)[2].astype(np.float32)


def wcs() -> Any:
    """Pixels to places in the slit, then to the sky; NaN in rows without light."""
    from astropy.modeling.models import Const1D, Identity, Mapping, Polynomial2D, Scale, Tabular1D
    from gwcs import WCS

    from stpipe.science.wcs.lrs import world_frame
    from stpipe.science.wcs.nirspec import frames

    within = Tabular1D(list(LIT), list(LIT), bounds_error=False)
    metres = {"c0_0": START * 1e-6, "c1_0": STEP * 1e-6, "c0_1": TILT * 1e-6}
    into_slit = (
        Identity(1) & within
        | Mapping((0, 1, 0, 1))
        | Const1D(0) & Scale(1 / ROWS) & Polynomial2D(1, **metres)
    )
    made = WCS(
        [
            (frames.pixels("detector"), into_slit),
            (frames.slit(), Scale(1e-4) & Scale(1e-3) & Scale(1e6)),
            (world_frame(), None),
        ]
    )
    made.bounding_box = ((-0.5, COLUMNS - 0.5), (-0.5, ROWS - 0.5))
    return made


# --- references -----------------------------------------------------------------------------------


def wavecorr(path: Path, shift: Any = lambda wavelength, place: place * (1 + wavelength)) -> str:
    """Shifts in pixels, of wavelengths in um and places in the slit, for all apertures but one."""
    from astropy.modeling.models import Tabular2D

    model = models.WaveCorrModel()
    waves, places = np.linspace(1.1, 1.6, 6), np.linspace(-0.5, 0.5, 5)
    table = shift(*np.meshgrid(waves, places, indexing="ij"))
    offset = Tabular2D((waves * 1e-6, places), table, bounds_error=True)
    model.apertures = [
        {"aperture_name": name, "zero_point_offset": offset, "width": 1e-4}
        for name in ("S200A1", "S1600A1", "MOS")
    ]
    model.meta.exposure.type = "NRS_FIXEDSLIT"
    return str(described(model, "wavecorr", "NIRSPEC", "NRS1").save(path))


DETECTOR = (100, 200)  # rows and columns that references have
PLANES = np.array([0.95, 1.3, 1.8], np.float32)
TABLE = np.linspace(0.9, 1.9, 40, dtype=np.float32)


def flat_planes(seed: int, planes: Any = PLANES) -> Any:
    """A response of pixels that changes linearly with wavelength."""
    rng = np.random.default_rng(seed)
    image, slope = rng.uniform(0.8, 1.2, DETECTOR), rng.uniform(-0.1, 0.1, DETECTOR)
    return (image + slope * (planes[:, None, None] - 1.4)).astype(np.float32)


def fast_table(rows: dict[str, Any], error: float = 0.01) -> Any:
    """FAST_VARIATION: of each slit a function of the wavelength, with unused cells."""
    room = TABLE.size + 3
    cells = [(name, "f4", (room,)) for name in ("wavelength", "data", "error")]
    table = np.zeros(len(rows), [("slit_name", "S15"), ("nelem", "i4"), *cells])
    for row, (name, response) in zip(table, rows.items(), strict=True):
        row["slit_name"], row["nelem"] = name, TABLE.size
        row["wavelength"][: TABLE.size] = TABLE
        row["data"][: TABLE.size] = response(TABLE)
        row["error"][: TABLE.size] = error
    return table


def fflat(path: Path, rows: dict[str, Any]) -> str:
    """The flat of the fore optics, of fixed slits."""
    model = models.NirspecFlatModel()
    model.flat_table = fast_table(rows)
    return str(described(model, "fflat", "NIRSPEC", "NRS1").save(path))


def quadrants(path: Path, response: Any) -> str:
    """The same of shutters: `response` by quadrant, column and row of the shutter, and wavelength."""
    model = models.NirspecQuadFlatModel()
    for number in range(1, 5):
        y, x = np.mgrid[1:13, 1:41]
        data = np.array([response(number, x, y, plane) for plane in PLANES], np.float32)
        known = {"data": data, "err": np.full_like(data, 0.02), "wavelength": plane_table(PLANES)}
        table = fast_table({"ANY": lambda wavelength: 1 + 0 * wavelength})
        model.quadrants.append({**known, "flat_table": table})
    return str(described(model, "fflat", "NIRSPEC", "NRS1").save(path))


def plane_table(planes: Any) -> Any:
    """The table WAVELENGTH, with an entry that is none at its end."""
    return np.array([(wavelength,) for wavelength in (*planes, np.nan)], [("wavelength", "f4")])


def sflat(path: Path, data: Any, rows: dict[str, Any], dq: Any = None) -> str:
    """The flat of the spectrograph, an image or planes."""
    model = _of_pixels(data, rows, dq)
    return str(described(model, "sflat", "NIRSPEC", "NRS1").save(path))


def dflat(path: Path, data: Any, rows: dict[str, Any], dq: Any = None) -> str:
    """The flat of the detector, planes; flags and errors may be those of one image."""
    model = _of_pixels(data, rows, dq)
    return str(described(model, "dflat", "NIRSPEC", "NRS1").save(path))


def _of_pixels(data: Any, rows: dict[str, Any], dq: Any) -> Any:
    model = models.NirspecFlatModel()
    model.data = data
    model.dq = np.zeros(data.shape, np.uint32) if dq is None else dq
    model.err = np.full(model.dq.shape, 0.005, np.float32)
    if data.ndim > 2:
        model.wavelength = plane_table(PLANES)
    model.flat_table = fast_table(rows)
    model.meta.subarray.xstart = model.meta.subarray.ystart = 1
    model.meta.subarray.ysize, model.meta.subarray.xsize = DETECTOR
    return model
