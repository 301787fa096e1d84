"""Exposures of MIRI's MRS, and the real references of its optics, if they are at hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from reference_headers import described

from stpipe import models

__all__ = ["BANDS", "DETECTORS", "SHAPE", "exposure", "optics"]

SHARED = Path(__file__).parents[3] / "shared/data/crds_jwst/references/jwst/miri"
SHAPE = (1024, 1032)
BANDS = ("SHORT", "MEDIUM", "LONG")
DETECTORS = {"MIRIFUSHORT": "12", "MIRIFULONG": "34"}
DISTORTION = {
    "12LONG": 29,
    "12MEDIUM": 30,
    "12SHORT": 31,
    "34LONG": 32,
    "34MEDIUM": 33,
    "34SHORT": 34,
}
SPECWCS = {"34LONG": 19, "34SHORT": 20, "12MEDIUM": 21, "12LONG": 22, "34MEDIUM": 23, "12SHORT": 24}
HALF_LENGTH = {1: 1.7, 2: 2.1, 3: 2.75, 4: 3.4}  # of a slice, arcsec
HEADER = {
    "telescope": "JWST",
    "filename": "jw01_mirifushort_rate.fits",
    "instrument.name": "MIRI",
    "exposure.type": "MIR_MRS",
    "exposure.readpatt": "FASTR1",
    "observation.date": "2026-01-01",
    "observation.time": "08:00:00",
    "observation.program_number": "01234",
    "visit.tsovisit": False,
    "subarray.name": "FULL",
    "subarray.xstart": 1,
    "subarray.ystart": 1,
    "subarray.xsize": 1032,
    "subarray.ysize": 1024,
    "wcsinfo.v2_ref": -503.654,
    "wcsinfo.v3_ref": -318.742,
    "wcsinfo.ra_ref": 0.0003,
    "wcsinfo.dec_ref": 54.0,
    "wcsinfo.roll_ref": 37.0,
    "wcsinfo.v3yangle": 0.0,
    "wcsinfo.vparity": 1,
    "velocity_aberration.scale_factor": 1.00003,
}


def exposure(detector: str, band: str, velosys: float | None = None) -> Any:
    """Rates of a full frame with an exact zero and a NaN."""
    model: Any = models.IFUImageModel()
    model.data = np.random.default_rng(5).normal(1, 0.1, SHAPE).astype(np.float32)
    model.data[4, 200:203] = (0, np.nan, 9)
    model.dq = np.zeros(SHAPE, np.uint32)
    instrument = {"detector": detector, "channel": DETECTORS[detector], "band": band}
    for name, value in {**HEADER, "wcsinfo.velosys": velosys}.items():
        model.set(f"meta.{name}", value)
    for name, value in instrument.items():
        model.set(f"meta.instrument.{name}", value)
    return model


def optics(detector: str, band: str, folder: Path) -> dict[str, str]:
    """The references of an exposure by type; without the shared data tests are skipped.

    Of two bands, as SHORT-MEDIUM, channels 1 and 4 are taken from the references of the first.
    """
    channels, bands = DETECTORS[detector], band.split("-")
    own = [bands[0 if number in "14" else -1] for number in channels]
    files = [(number, f"{channels}{b}") for number, b in zip(channels, own, strict=True)]
    trees = {
        reftype: _merged(reftype, [(n, _real(reftype, numbers[key])) for n, key in files], band)
        for reftype, numbers in (("distortion", DISTORTION), ("specwcs", SPECWCS))
    }
    found = {"wavelengthrange": str(_real("wavelengthrange", 5))}
    for reftype, tree in trees.items():
        found[reftype] = str(folder / f"{reftype}.asdf")
        asdf.AsdfFile(tree).write_to(found[reftype])
    found["regions"] = _regions(folder / "regions.asdf", trees["distortion"], found, band)
    return found


def _real(reftype: str, number: int) -> Path:
    path = SHARED / f"jwst_miri_{reftype}_{number:04d}.asdf"
    if not path.is_file():
        pytest.skip(f"there is no {path}: the folder of shared data is absent")
    return path


@cache
def _tree(path: Path) -> dict[str, Any]:
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        return {**file.tree}


def _merged(reftype: str, files: list[tuple[str, Path]], band: str) -> dict[str, Any]:
    """The tree of a reference whose channels are those of several, under the name of the band."""
    parts = [(number, _tree(path)) for number, path in files]
    tree = {"meta": {**parts[0][1]["meta"], "reftype": reftype}}
    tree["meta"]["instrument"] = {**tree["meta"]["instrument"], "band": band}
    lists = {"slices", "model", "alpha_model", "beta_model", "x_model", "y_model"}
    for name in lists & set(parts[0][1]):
        tree[name] = [
            item
            for number, part in parts
            for item, slice_number in zip(part[name], part["slices"], strict=True)
            if str(slice_number)[0] == number
        ]
    columns = {"bzero": "beta_zero", "bdel": "delta_beta", "abv2v3_model": "model"}
    for name in columns.keys() & set(parts[0][1]):
        values = [
            part[name][columns[name]][[b[0] for b in part[name]["channel_band"]].index(number)]
            for number, part in parts
        ]
        names = [f"{number}{band}" for number, _ in parts]
        tree[name] = {"channel_band": names, columns[name]: values}
    return tree


def _regions(path: Path, distortion: dict[str, Any], found: dict[str, str], band: str) -> str:
    """Slices between the ends of alpha, all planes alike but for one that has none."""
    with asdf.open(found["wavelengthrange"]) as file:
        limits = dict(zip(file["waverange_selector"], file["wavelengthrange"], strict=True))
    slices = np.zeros(SHAPE, np.int32)
    columns = np.arange(SHAPE[1])
    for place, number in enumerate(distortion["slices"]):
        channel = number // 100
        waves = np.linspace(*limits[f"{channel}{band}"], 400)
        ends = []
        for alpha in (-HALF_LENGTH[channel], HALF_LENGTH[channel]):
            alphas = np.full_like(waves, alpha)
            x, y = (distortion[f"{axis}_model"][place](waves, alphas) for axis in "xy")
            rising = np.argsort(y)
            ends.append(np.interp(np.arange(SHAPE[0]), y[rising], x[rising])[:, None])
        half = (columns < 513) == (channel in (1, 4))
        inside = half & (columns > np.minimum(*ends)) & (columns < np.maximum(*ends))
        slices[inside & (slices == 0)] = number
    model: Any = models.RegionsModel()
    model.regions = np.stack([slices] * 9)
    return str(described(model, "regions", "MIRI", "MIRIFUSHORT").save(path))
