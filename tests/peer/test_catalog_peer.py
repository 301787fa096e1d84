"""Sources of a mosaic beside those of the peer: the same stars, places and fluxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from fields import Exposure, associate
from reference_headers import described

from stpipe import models
from stpipe.steps.stage2.resample import ResampleStep
from stpipe.steps.stage3.source_catalog.step import SourceCatalogStep

Peer = Callable[..., Path]
ENERGIES = (0.3, 0.5, 0.7, 0.8)
RADII = (1.3, 1.9, 2.6, 3.4)  # pixels
CORRECTIONS = (3.5, 2.1, 1.5, 1.3)


def apcorr(path: Path) -> Path:
    """Circles for two filters, one of which nobody asks for."""
    model = models.NrcImgApcorrModel()
    table = np.zeros(8, model.schema.arrays["apcorr_table"].dtype)
    table["filter"], table["pupil"] = ["F200W"] * 4 + ["F210M"] * 4, "CLEAR"
    table["eefraction"], table["radius"] = ENERGIES * 2, RADII * 2
    table["apcorr"], table["skyin"], table["skyout"] = CORRECTIONS * 2, 6.0, 9.0
    model.apcorr_table = table
    return described(model, "APCORR", "NIRCAM", "NRCA1").save(path)


def vega(path: Path) -> Path:
    """An offset between magnitudes."""
    offsets = Table({"filter": ["F200W"], "pupil": ["CLEAR"], "abvega_offset": [1.7]})
    meta = {"telescope": "JWST", "reftype": "ABVEGAOFFSET", "pedigree": "DUMMY", "author": "test"}
    meta |= {"description": "test", "useafter": "2020-01-01T00:00:00"}
    meta |= {"instrument": {"name": "NIRCAM", "detector": "NRCA1"}}
    asdf.AsdfFile({"abvega_offset": offsets, "meta": meta}).write_to(path)
    return path


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Circles and an offset, the same for both."""
    folder = tmp_path_factory.mktemp("references")
    return {
        "override_apcorr": str(apcorr(folder / "apcorr.fits")),
        "override_abvegaoffset": str(vega(folder / "vega.asdf")),
    }


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four dithers of stars, some of which blend."""
    folder = tmp_path_factory.mktemp("mosaic")
    shifts = [(0.0, 0.0), (0.21, 0.1), (-0.13, 0.28), (0.05, -0.3)]
    dithers = [Exposure(n, *shift, stars=60) for n, shift in enumerate(shifts, 1)]
    asn = associate(folder, dithers, seed=12)
    return ResampleStep(pixel_scale_ratio=0.8).run(asn).save(folder / "x_i2d.fits")


CASES: dict[str, dict[str, Any]] = {
    "as they are": {},
    "faint": {"npixels": 8, "snr_threshold": 2.0, "kernel_fwhm": 3.0, "bkg_boxsize": 50},
    "not taken apart": {"deblend": False, "connectivity": "4"},
    "taken apart finely": {
        "npixels": 5,
        "nlevels": 16,
        "contrast": 1e-4,
        "multithresh_mode": "linear",
        "localbkg_width": 10,
    },
    "other circles": {"aperture_ee1": 30, "aperture_ee2": 70, "aperture_ee3": 80},
    "other limits": {"ci1_star_threshold": 1.3, "ci2_star_threshold": 1.15},
    "dao": {"starfinder": "dao", "brightest": 20, "roundlo": -0.5, "roundhi": 0.5},
    "iraf": {"starfinder": "iraf", "minsep_fwhm": 3.0, "sharplo": 0.1},
}


@pytest.mark.parametrize("case", CASES)
def test_sources(
    peer_step: Peer, tmp_path: Path, mosaic: Path, references: dict[str, str], case: str
) -> None:
    """The same sources, columns, units and values; flags and numbers equal."""
    parameters = CASES[case]
    theirs = peer_step("jwst.source_catalog:SourceCatalogStep", mosaic, **parameters, **references)
    expected = QTable.read(theirs, format="ascii.ecsv")
    found, segments = SourceCatalogStep(**parameters, **references).run(mosaic)
    table = QTable.read(found.save(tmp_path / "x_cat.ecsv"), format="ascii.ecsv")

    assert len(expected) > (5 if "starfinder" in parameters else 20)
    assert expected.colnames == table.colnames
    if "starfinder" in parameters:  # whose order differs between releases of photutils
        expected, table = (by_place(each) for each in (expected, table))
    if parameters.get("starfinder") == "dao":  # whose fluxes do, too
        left_out = [name for name in table.colnames if name.startswith("isophotal_")]
        expected.remove_columns(left_out)
    for name in expected.colnames:
        compare(name, expected[name], table[name])
    for name in ("aperture_radii", "aperture_corrections", "aperture_ee"):
        np.testing.assert_allclose(
            table.meta["aperture_params"][name], expected.meta["aperture_params"][name]
        )
    assert table.meta["abvega_offset"] == expected.meta["abvega_offset"]
    peer_step("read", segments.save(tmp_path / "x_segm.fits"))


def by_place(table: Any) -> Any:
    """Sources from left to right, without their numbers."""
    order = np.argsort(table["xcentroid"])
    return table[[n for n in table.colnames if "label" not in n]][order]


def compare(name: str, expected: Any, found: Any) -> None:
    """A column; values to what the peer writes, 1e-4 pixels and 1e-4 of a flux."""
    if isinstance(found, SkyCoord) and not isinstance(expected, SkyCoord):
        assert np.isnan(expected).all(), name
        assert np.isnan(found.ra).all(), name
        return
    if isinstance(expected, SkyCoord):
        assert found.separation(expected).arcsec.max() < 1e-5, name
        return
    wanted, values = (np.asarray(getattr(each, "value", each)) for each in (expected, found))
    if (
        wanted.dtype.kind != "f" or np.isfinite(wanted).any()
    ):  # what a finder does not measure has none
        units = [getattr(each, "unit", None) or "" for each in (expected, found)]
        assert units[0] == units[1], name
    if wanted.dtype.kind in "bi":
        np.testing.assert_array_equal(values, wanted, name)
    else:
        np.testing.assert_allclose(
            values, wanted, rtol=1e-4, atol=1.1e-4 if "flux" not in name else 0, err_msg=name
        )
