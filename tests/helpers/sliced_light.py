"""A small integral-field unit of five slices, for which everything is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from astropy.modeling.models import Const1D, Identity, Polynomial2D
from mrs_optics import HEADER

from stpipe import models
from stpipe.science.wcs.mrs import mrs_wcs

__all__ = ["ALONG", "LEAST", "SHAPE", "STEP", "WIDTH", "exposure"]

SHAPE = (40, 70)
SLICES, COLUMNS = 5, 10  # of which two are between slices
ALONG, WIDTH = 0.2, 0.3  # arcsec: a pixel along a slice, the width of a slice
LEAST, STEP = 5.0, 0.002  # um


def exposure(ra: float = 0.0003, dec: float = 54.0) -> Any:
    """Rates of 1 with errors of 0.1, looking there."""
    model: Any = models.IFUImageModel()
    model.data, model.err = np.ones(SHAPE, np.float32), np.full(SHAPE, 0.1, np.float32)
    model.dq = np.zeros(SHAPE, np.uint32)
    pointing = {"wcsinfo.ra_ref": ra, "wcsinfo.dec_ref": dec, "wcsinfo.roll_ref": 0.0}
    about = {"instrument.channel": "1", "instrument.band": "SHORT", "instrument.detector": "X"}
    sizes = {"subarray.xsize": SHAPE[1], "subarray.ysize": SHAPE[0], "filename": "x_cal.fits"}
    for name, value in {**HEADER, **pointing, **about, **sizes}.items():
        model.set(f"meta.{name}", value)
    numbers = np.arange(101, 101 + SLICES)
    slices = np.zeros(SHAPE, np.int32)
    for place, number in enumerate(numbers):
        slices[:, 2 + place * 13 : 2 + place * 13 + COLUMNS] = number
    model.meta.wcs = mrs_wcs(model.to_flat_dict(), _references(numbers), slices)
    model.meta.cal_step.assign_wcs = "COMPLETE"
    return model


def _references(numbers: Any) -> Any:
    """References in which alpha is linear in columns, wavelength in rows, and nothing is bent."""
    alphas, places = [], range(len(numbers))
    for place in places:
        middle = 2 + place * 13 + (COLUMNS - 1) / 2
        alphas.append(Polynomial2D(1, c0_0=-middle * ALONG, c0_1=ALONG))
    betas = [Const1D((place - SLICES // 2) * WIDTH) for place in places]
    wave = Polynomial2D(1, c0_0=LEAST, c1_0=STEP)
    name = ["1SHORT"]
    distortion = SimpleNamespace(
        slices=numbers.tolist(),
        alpha_model=alphas,
        beta_model=betas,
        x_model=alphas,  # the ways back are not asked for
        y_model=[wave] * SLICES,
        bzero=SimpleNamespace(channel_band=name, beta_zero=[-2 * WIDTH]),
        bdel=SimpleNamespace(channel_band=name, delta_beta=[WIDTH]),
        abv2v3_model=SimpleNamespace(channel_band=name, model=[_to_v2v3()]),
    )
    ranges = SimpleNamespace(waverange_selector=name, wavelengthrange=[(4.9, 5.2)])
    specwcs = SimpleNamespace(slices=numbers.tolist(), model=[wave] * SLICES)
    return {"distortion": distortion, "specwcs": specwcs, "wavelengthrange": ranges}


def _to_v2v3() -> Any:
    from astropy.modeling.models import Shift

    found = Identity(2) | Shift(HEADER["wcsinfo.v2_ref"]) & Shift(HEADER["wcsinfo.v3_ref"])
    found.inverse = Shift(-HEADER["wcsinfo.v2_ref"]) & Shift(-HEADER["wcsinfo.v3_ref"])
    return found
