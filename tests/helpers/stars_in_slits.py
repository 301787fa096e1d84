"""Stars in slits whose profile is known, and the references that tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from astropy.modeling.models import AffineTransformation2D, Const1D, Identity, Mapping
from gwcs import WCS
from reference_headers import described

from stpipe import models
from stpipe.models import dqflags
from stpipe.science.wcs.lrs import world_frame
from stpipe.science.wcs.nirspec import frames

__all__ = ["FLUX", "PLACE", "SKY", "bright_object", "extract1d", "nodded", "psf", "slits", "trace"]

ROWS, COLUMNS = 27, 60
MIDDLE, TILT = 13.0, 0.03  # row of the slit's centre in the middle column; rows per column
HEIGHT = 20.0  # rows of a slit
PLACE = 0.12  # of the star, in heights of the slit
FLUX = 40.0 + 0.5 * np.arange(COLUMNS)  # DN/s in each column
SKY = 1.5  # DN/s in each pixel
SAMPLES, REACH = 8, 14  # of the PSF: places in a pixel, pixels on each side
WAVES = np.linspace(0.9, 1.7, 41)  # um
HEADER = {
    "telescope": "JWST",
    "filename": "jw01_nrs1_s2d.fits",
    "instrument.name": "NIRSPEC",
    "instrument.detector": "NRS1",
    "instrument.filter": "F100LP",
    "instrument.grating": "G140M",
    "observation.date": "2026-01-01",
    "observation.time": "08:00:00",
    "cal_step.bkg_subtract": "SKIPPED",
    "dither.primary_type": "NONE",
}


def trace(place: float = PLACE) -> Any:
    """The row of a place in the slit, in every column."""
    return MIDDLE + HEIGHT * place + TILT * (np.arange(COLUMNS) - COLUMNS / 2)


def slits(*, noise: float = 0.0, sky: float = SKY) -> Any:
    """A star in the first slit, even light in the second."""
    exposure = models.MultiSlitModel()
    _describe(exposure, "NRS_FIXEDSLIT")
    for number, name in enumerate(("S200A1", "S200A2")):
        exposure.slits.append({"name": name})
        slit = exposure.slits[-1]
        _describe(slit, "NRS_FIXEDSLIT")  # as cutouts are in files of the peer
        slit.source_type = "EXTENDED" if number else "POINT"
        _fill(slit, star(PLACE) * (not number) + sky, noise, number)
    return exposure


def nodded(*, noise: float = 0.0) -> Any:
    """The same after the other position of a nod has been subtracted as background."""
    exposure = slits(noise=noise)
    for each in (exposure, *exposure.slits):
        each.set("meta.cal_step.bkg_subtract", "COMPLETE")
        each.set("meta.dither.primary_type", "2-POINT-NOD")
    _fill(exposure.slits[0], star(PLACE) - star(-PLACE), noise, 0)
    return exposure


def bright_object(integrations: int, *, noise: float = 0.0) -> Any:
    """A star that becomes brighter from integration to integration."""
    slit = models.SlitModel()
    _describe(slit, "NRS_BRIGHTOBJ")
    slit.name, slit.source_type = "S1600A1", "POINT"
    light = np.stack([(1 + n) * star(PLACE) + SKY for n in range(integrations)])
    _fill(slit, light, noise, 7)
    return slit


def star(place: float) -> Any:
    """Its light in each pixel."""
    rows = np.arange(ROWS)[:, np.newaxis] - trace(place)
    found = np.exp(-0.5 * (rows / width(wave(np.arange(COLUMNS)))) ** 2)
    return FLUX * found / found.sum(axis=0)


def wave(x: Any) -> Any:
    """The wavelength (um) of a column."""
    return 1 + 0.01 * x


def width(wavelength: Any) -> Any:
    """Of the star's profile, pixels."""
    return 1.2 + 0.4 * wavelength


def _describe(exposure: Any, kind: str) -> None:
    for name, value in {**HEADER, "exposure.type": kind}.items():
        exposure.set(f"meta.{name}", value)


def _fill(slit: Any, light: Any, noise: float, seed: int) -> None:
    """Light with noise and unknown pixels, and coordinates."""
    rng = np.random.default_rng(seed)
    slit.data = (light + noise * rng.normal(size=light.shape)).astype(np.float32)
    slit.var_poisson, slit.var_rnoise, slit.var_flat = rng.uniform(
        0.5, 1, (3, *light.shape)
    ).astype(np.float32)
    slit.err = np.sqrt(slit.var_poisson + slit.var_rnoise + slit.var_flat)
    slit.dq = np.where(rng.random(light.shape) < 0.02, dqflags.DO_NOT_USE, 0).astype(np.uint32)
    slit.source_xpos, slit.source_ypos = 0.0, PLACE
    slit.meta.wcsinfo.dispersion_direction = 1
    slit.meta.wcs = wcs()
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    slit.wavelength = slit.meta.wcs(x, y)[2].astype(np.float32)


def wcs() -> WCS:
    """Pixels to places in the slit and wavelengths in um, as of rectified spectra, and to the sky."""
    start = -MIDDLE + TILT * COLUMNS / 2
    matrix = [[0.01, 0.0], [-TILT / HEIGHT, 1 / HEIGHT]]
    plane = AffineTransformation2D(matrix, translation=[1.0, start / HEIGHT])
    into = plane | Mapping((0, 1, 0)) | Const1D(0) & Identity(2)
    into.inverse = Mapping((2, 1), n_inputs=3) | plane.inverse
    made = WCS(
        [(frames.pixels("detector"), into), (frames.slit(), Identity(3)), (world_frame(), None)]
    )
    made.bounding_box = ((-0.5, COLUMNS - 0.5), (-0.5, ROWS - 0.5))
    return made


# --- references -----------------------------------------------------------------------------------


def psf(path: Path, name: str = "ANY", *, waves: Any = WAVES, direction: int = 1) -> str:
    """A PSF reference of one aperture: the profile of the stars, or along rows (`direction` 2)."""
    places = np.arange(-REACH * SAMPLES, REACH * SAMPLES + 1)[:, np.newaxis] / SAMPLES
    light = np.exp(-0.5 * (places / width(WAVES)) ** 2)
    model = models.SpecPsfModel()
    model.apertures.append(
        {
            "name": name,
            "subpix": float(SAMPLES),
            "center_row": float(REACH * SAMPLES),
            "center_col": float(REACH * SAMPLES),
            "data": light if direction == 1 else light.T,
            "wave": waves,
        }
    )
    return str(described(model, "psf", "NIRSPEC", "NRS1").save(path))


def extract1d(path: Path, **entry: Any) -> str:
    """An EXTRACT1D reference of one aperture for all slits."""
    content = {"REFTYPE": "EXTRACT1D", "apertures": [{"id": "ANY", "extract_width": 6, **entry}]}
    path.write_text(json.dumps(content))
    return str(path)
