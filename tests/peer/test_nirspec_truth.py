"""Every link of NIRSpec's optics beside the truth of its builders: rays from slits to pixels and sky.

The tables come with the peer and hold, for a few rays, where they are at each plane.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nirspec_optics
import numpy as np
import pytest

from stpipe import models
from stpipe.science.wcs.nirspec.ifu import slice_entrances
from stpipe.science.wcs.nirspec.optics import Optics, telescope
from stpipe.science.wcs.nirspec.slit_wcs import slit_wcs

EXACT = 1e-12


@dataclass(frozen=True)
class Case:
    """A table, and the exposure that it is of."""

    table: str
    optics: Mapping[str, str]
    header: Mapping[str, Any]


def header(grating: str, filter_: str, x: float | None, y: float | None) -> dict[str, Any]:
    """Metadata of an exposure; readings of the wheel's sensors."""
    return {
        "meta.instrument.grating": grating,
        "meta.instrument.filter": filter_,
        "meta.instrument.gwa_xtilt": x,
        "meta.instrument.gwa_ytilt": y,
        "meta.instrument.gwa_tilt": 37.1,
        "meta.exposure.type": "NRS_IFU",
        "meta.wcsinfo.velosys": None,
    }


HIGH = {"disperser": "disperser_0035", "fore": "fore_0022"}
CASES = {
    "fixed slit": Case(
        "fixed_slits_functional_ESA_v4_20180618",
        HIGH,
        header("G395H", "F290LP", 0.3316612243652344, 0.1260581910610199),
    ),
    "shutter": Case(
        "msa_functional_ESA_v2_20180620",
        HIGH,
        header("G395H", "F290LP", None, None),
    ),
    "slice": Case(
        "ifu_grating_functional_ESA_v1_20180619",
        HIGH,
        header("G395H", "F290LP", 0.35986012, 0.13448857),
    ),
    "slice, prism": Case(
        "ifu_prism_functional_ESA_v1_20180619",
        {"disperser": "disperser_0034", "fore": "fore_0028"},
        header("PRISM", "CLEAR", 0.35986012, 0.13448857),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def rays(case: Case) -> dict[str, Any]:
    """Columns of the table of a case."""
    interpreter = os.environ.get("PEER_PYTHON", "")
    pattern = f"lib/python3*/site-packages/jwst/assign_wcs/tests/data/{case.table}.txt"
    paths = list(Path(interpreter).parents[1].glob(pattern)) if interpreter else []
    if not paths:
        pytest.skip(
            "PEER_PYTHON does not name an interpreter that has the tests of the jwst package"
        )
    names = paths[0].read_text().partition("\n")[0].lstrip("#").split()
    columns = np.genfromtxt(paths[0], dtype=None, encoding="utf-8")
    return {name: columns[column] for name, column in zip(names, columns.dtype.names, strict=True)}


def exposure(case: Case, detector: str) -> tuple[dict[str, Any], dict[str, Any], Optics]:
    """Metadata, references, and the optics that they make."""
    meta = {f"meta.{name}": value for name, value in nirspec_optics.HEADER.items()}
    meta |= {**case.header, "meta.instrument.detector": detector}
    files = nirspec_optics.optics(**case.optics)
    references: dict[str, Any] = {name: models.open(path) for name, path in files.items()}
    return meta, references, Optics.of(meta, references, telescope(meta, references))


def cosines(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """A direction by two of its cosines."""
    return x, y, np.sqrt(1 - x**2 - y**2)


def test_links_between_slit_and_detector(case: Case) -> None:
    """Shutters to wheel, through the disperser, to the pixels of both detectors, and back."""
    truth = rays(case)
    for detector in ("NRS1", "NRS2"):
        _, _, optics = exposure(case, detector)
        entering, leaving = (
            cosines(truth[f"xdisp{name}"], truth[f"ydisp{name}"]) for name in ("In", "Law")
        )
        place = truth["xmsapos"], truth["ymaspos"]
        np.testing.assert_allclose(optics.from_shutters(*place), entering, rtol=EXACT)
        found = optics.disperser.directions()(truth["wavelength"], *entering)
        np.testing.assert_allclose(found, leaving, rtol=EXACT)
        seen = truth["SCA"] == {"NRS1": "SCA491", "NRS2": "SCA492"}[detector]
        light = tuple(axis[seen] for axis in leaving)
        pixels = truth["i"][seen] - 1, truth["j"][seen] - 1
        if seen.any():
            there = optics.to_wheel.inverse(*light)
            np.testing.assert_allclose(there, pixels, rtol=0, atol=1e-6)
            # The reference has another polynomial for the way back, good to 0.01 pixels.
            np.testing.assert_allclose(optics.to_wheel(*pixels), light, rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", ["fixed slit", "shutter"])
def test_links_between_slit_and_sky(name: str) -> None:
    """Shutters to the focus of the telescope, and to V2, V3."""
    truth, (meta, references, _) = rays(CASES[name]), exposure(CASES[name], "NRS1")
    (_, to_focus), (_, to_v2v3), *_ = telescope(meta, references)
    focus = to_focus(truth["xmsapos"], truth["ymaspos"], truth["wavelength"])
    np.testing.assert_allclose(focus[:2], (truth["xOTEIP"], truth["yOTEIP"]), rtol=EXACT)
    v2, v3, wavelength = to_v2v3(*focus)
    np.testing.assert_allclose((v2 / 3600, v3 / 3600), (truth["xV2V3"], truth["yV2V3"]), rtol=EXACT)
    np.testing.assert_allclose(wavelength, truth["wavelength"] * 1e6, rtol=EXACT)


@pytest.mark.parametrize("name", ["slice", "slice, prism"])
def test_a_slice_from_end_to_end(name: str) -> None:
    """From places in slice 0 to pixels and to V2, V3, and pixels back to places and wavelengths."""
    truth, (meta, references, _) = rays(CASES[name]), exposure(CASES[name], "NRS1")
    optics = Optics.of(meta, references, telescope(meta, references))
    wcs = slit_wcs(slice_entrances(references, optics, (-0.55, 0.55))[0], optics)
    # The prism does not transmit the first wavelength of its table.
    seen = (truth["SCA"] == "SCA491") & (truth["wavelength"] > 6e-7)
    place = tuple(truth[name][seen] for name in ("xslitpos", "yslitpos", "wavelength"))
    pixels = truth["i"][seen] - 1, truth["j"][seen] - 1
    there = wcs.get_transform("slit_frame", "sca")(*place)
    np.testing.assert_allclose(there, pixels, rtol=0, atol=1e-6)
    v2, v3, _ = wcs.get_transform("slit_frame", "v2v3")(*place)
    np.testing.assert_allclose(v2 / 3600, truth["xV2V3"][seen], rtol=EXACT)
    np.testing.assert_allclose(v3 / 3600, truth["yV2V3"][seen], rtol=EXACT)
    _, y, wavelength = wcs.get_transform("sca", "slit_frame")(*pixels)
    np.testing.assert_allclose(y, place[1], rtol=0, atol=3e-4)
    np.testing.assert_allclose(wavelength, place[2], rtol=1e-4)
