"""Spectra of cubes, and what residual fringes are taken out of, beside the peer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cubes
import fringes
import mrs_spectra
import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.residual_fringe import ResidualFringeStep
from stpipe.steps.stage3.spectral_leak import SpectralLeakStep

Peer = Callable[..., Path]
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "target": ("MIR_MRS", {"ifu_rfcorr": True}),
    "star": ("NRS_IFU", {"ifu_autocen": True, "bkg_sigma_clip": 1.5}),
    "pixel": ("NRS_IFU", {"center_xy": [9.2, 12.3], "ifu_covar_scale": 1.5}),
    "extended": ("MIR_MRS", {"ifu_set_srctype": "EXTENDED"}),
    "narrow": ("MIR_MRS", {"ifu_rscale": 1.5, "subtract_background": False}),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_spectra_of_cubes(peer_step: Peer, tmp_path: Path, choice: str) -> None:
    """All columns, their units, and where the aperture is."""
    kind, given = CHOICES[choice]
    cube = cubes.cube(kind, noise=0.05, planes=150 if choice == "target" else 24)
    fringed = choice == "target"
    if fringed:
        cube.meta.wcs = cubes.wcs(5.0, 0.001)
        waves = 5 + 0.001 * np.arange(150)
        wave = 1 + 0.03 * np.sin(2 * np.pi * 1e4 / waves / 2.9)
        cube.data = cube.data * wave[:, None, None].astype(np.float32)
    source = cube.save(tmp_path / "x_s3d.fits")
    parameters = {
        "override_extract1d": cubes.extract1d(tmp_path / "extract1d.asdf"),
        "override_apcorr": cubes.apcorr(tmp_path / "apcorr.asdf", kind),
        "ifu_rfcorr": False,
        **given,
    }
    theirs = peer_step("jwst.extract_1d:Extract1dStep", source, **parameters)
    ours = Extract1dStep(**parameters).run(source)

    with models.open(theirs) as expected:
        assert type(expected) is type(ours)
        (one,), (other,) = expected.spec, ours.spec
        same_columns(one.spec_table, other.spec_table)
        assert np.isfinite(other.spec_table["FLUX"]).all()
        if fringed:
            assert np.isfinite(other.spec_table["RF_FLUX"]).all()
        assert one.units("spec_table") == other.units("spec_table")
        for name in ("extraction_x", "extraction_y"):
            assert one.get(name) == pytest.approx(other.get(name), rel=1e-6)
        for name in ("name", "source_type", "detector", "position_angle"):
            assert one.get(name) == other.get(name)
    peer_step("read", ours.save(tmp_path / "x_x1d.fits"))


def same_columns(expected: Any, found: Any) -> None:
    """The same columns to 1e-5, and the same flags."""
    assert expected.dtype.names == found.dtype.names
    for column in expected.dtype.names:
        np.testing.assert_allclose(expected[column], found[column], rtol=1e-5, err_msg=column)


@pytest.mark.parametrize(("detector", "dichroic"), [("MIRIFUSHORT", 0.0), ("MIRIFULONG", 0.01)])
def test_residual_fringes_of_slices(
    peer_step: Peer, tmp_path: Path, detector: str, dichroic: float
) -> None:
    """Of channels that rise and that fall along the columns; the same pixels are corrected alike."""
    source = fringes.exposure(detector, dichroic=dichroic).save(tmp_path / "x_photom.fits")
    parameters = {
        "override_fringefreq": fringes.fringefreq(tmp_path / "f.fits", detector),
        "override_regions": fringes.regions(tmp_path / "r.fits", detector),
        "ignore_region_min": [5.1, 12.2],
        "ignore_region_max": [5.15, 12.3],
        "skip": False,
    }
    theirs = peer_step("jwst.residual_fringe:ResidualFringeStep", source, **parameters)
    ours = ResidualFringeStep(**parameters).run(source)
    with models.open(theirs) as expected, models.open(source) as before:
        np.testing.assert_allclose(expected.data, ours.data, rtol=1e-5)
        changed = np.abs(np.asarray(before.data) - expected.data) > 0.1
        assert changed[fringes.labels(detector) > 0].mean() > 0.5
        for name in ("err", "dq"):
            np.testing.assert_array_equal(getattr(expected, name), getattr(ours, name))
        assert "COMPLETE" == ours.meta.cal_step.residual_fringe
    peer_step("read", ours.save(tmp_path / "x_residual_fringe.fits"))


def test_spectral_leak(peer_step: Peer, tmp_path: Path) -> None:
    """The spectrum at 12 um without the light of 6 um; the first of both."""
    spectra = [mrs_spectra.spectrum("3", "SHORT", 2.0), mrs_spectra.spectrum("1", "MEDIUM", 5.0)]
    sources = [model.save(tmp_path / model.meta.filename) for model in spectra]
    asn = {
        "asn_type": "spec3",
        "asn_id": "a3001",
        "asn_pool": "none",
        "products": [
            {
                "name": "jw01",
                "members": [{"expname": s.name, "exptype": "science"} for s in sources],
            }
        ],
    }
    (tmp_path / "jw01_asn.json").write_text(json.dumps(asn))
    reference = {"override_mrsptcorr": mrs_spectra.mrsptcorr(tmp_path / "mrsptcorr.fits")}
    step = "jwst.spectral_leak:SpectralLeakStep"
    theirs = peer_step(step, tmp_path / "jw01_asn.json", **reference)
    ours, _ = SpectralLeakStep(**reference).run(sources)
    with models.open(theirs) as expected:
        same_columns(expected.spec[0].spec_table, ours.spec[0].spec_table)
        before = spectra[0].spec[0].spec_table["FLUX"]
        assert np.abs(expected.spec[0].spec_table["FLUX"] - before).max() > 0.1
