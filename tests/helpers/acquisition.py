"""Spectra of MIRI's prism, and images that verify where their source is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from reference_headers import described

from stpipe import models
from stpipe.demo import lrs
from stpipe.demo.headers import keywords
from stpipe.demo.observation import SPECTRA
from stpipe.demo.optics import distortion_model
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep

__all__ = ["OFFSETS", "confirmation", "exposure", "optics"]

OFFSETS = [
    {"filter": "F1500W", "pupil": "N/A", "column_offset": 0.7, "row_offset": -0.4},
    {"filter": "F770W", "pupil": "N/A", "column_offset": 0.1, "row_offset": 0.2},
]
WIDTH = 1.9  # of the source in the image, pixels


def exposure(slit: str, dither: tuple[float, float], references: dict[str, str]) -> Any:
    """Rates of the prism with coordinates."""
    plan = next(o for o in SPECTRA if getattr(o.spectrum, "kind", "") == slit)
    made: Any = models.ImageModel()
    made.data = np.ones(plan.subarray.shape, np.float32)
    for path, value in {**keywords(plan), "meta.wcsinfo.velosys": 0.0}.items():
        made.set(path, value)
    made.meta.dither.x_offset, made.meta.dither.y_offset = dither
    made.meta.target.source_type = "POINT"
    prism = {"override_filteroffset": "N/A"} | {
        f"override_{name}": file for name, file in references.items() if name != "filteroffset"
    }
    return AssignWcsStep(**prism).run(made)


def confirmation(
    slit: str, source: tuple[float, float], dither: tuple[float, float], references: dict[str, str]
) -> Any:
    """An image with a source, with coordinates."""
    plan = replace(
        next(o for o in SPECTRA if getattr(o.spectrum, "kind", "") == slit), spectrum=None
    )
    made: Any = models.ImageModel()
    rows, columns = np.indices(plan.subarray.shape)
    apart = (columns - source[0]) ** 2 + (rows - source[1]) ** 2
    made.data = (100 * np.exp(-0.5 * apart / WIDTH**2)).astype(np.float32)
    made.data[int(source[1]) + 3, int(source[0]) + 2] = np.nan
    values = {
        "meta.exposure.type": "MIR_TACONFIRM",
        "meta.instrument.filter": "F1500W",
        "meta.dither.x_offset": dither[0],
        "meta.dither.y_offset": dither[1],
    }
    spectrum = exposure(slit, (0.0, 0.0), references).meta.wcsinfo
    names = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")
    same = {f"meta.wcsinfo.{name}": getattr(spectrum, name) for name in names}
    for path, value in {**keywords(plan), **same, **values}.items():
        made.set(path, value)
    needed = {f"override_{n}": references[n] for n in ("distortion", "filteroffset")}
    return AssignWcsStep(**needed, override_specwcs="N/A", sip_approx=False).run(made)


def optics(folder: Path) -> dict[str, str]:
    """References of the demo's MIRI by type, with filters that move images."""
    distortion: Any = models.DistortionModel()
    distortion.model = distortion_model(SPECTRA[0].detector)
    specwcs = models.MiriLRSSpecwcsModel()
    lrs.fill_specwcs(specwcs)
    offsets: Any = models.FilteroffsetModel()
    offsets.filters = OFFSETS
    made = {"distortion": distortion, "filteroffset": offsets}
    found = {
        name: str(described(model, name, "MIRI", "MIRIMAGE").save(folder / f"{name}.asdf"))
        for name, model in made.items()
    }
    specwcs_file = described(specwcs, "specwcs", "MIRI", "MIRIMAGE").save(folder / "specwcs.fits")
    return {**found, "specwcs": str(specwcs_file)}
