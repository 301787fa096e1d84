"""Small exposures of NIRSpec's slits, cut out, with tilted spectra whose wavelengths are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from reference_headers import described

from stpipe import models

__all__ = ["bright_object", "fixed_slits", "shutters", "wave", "wavecorr"]

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


def bright_object(integrations: int = 3) -> Any:
    """A point source in the wide slit, several integrations."""
    slit = models.SlitModel()
    _describe(slit, "NRS_BRIGHTOBJ")
    slit.name, slit.source_type, slit.source_xpos = "S1600A1", "POINT", -0.12
    _fill(slit, 1, (integrations,))
    return slit


def _many(kind: str) -> Any:
    exposure = models.MultiSlitModel()
    _describe(exposure, kind)
    return exposure


def _describe(exposure: Any, kind: str) -> None:
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
