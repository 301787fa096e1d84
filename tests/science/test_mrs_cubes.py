"""Cubes of MIRI's spectrometer: from raw ramps to the spectrum of a star before a nebula."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stpipe.demo.cubes_found import cube_found, star_found
from stpipe.demo.observation import MIRI_MRS
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.pipelines.spec3 import Spec3Pipeline

if TYPE_CHECKING:
    import pytest

LABELS = ("ch1-short", "ch2-short")
NO_CUBES = {"cube_build": {"skip": True}}  # of single exposures


def test_cubes_and_spectra_are_unbiased(
    mrs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The star to a tenth of a spaxel, its flux to a percent, the nebula to half a percent."""
    monkeypatch.setenv("CRDS_PATH", str(mrs_folder / "crds"))
    members = []
    for observation in MIRI_MRS:
        uncal = mrs_folder / f"uncal/{observation.root}_uncal.fits"
        rate, _ = Detector1Pipeline.call(uncal)
        path = rate.save(tmp_path / f"{observation.root}_rate.fits")
        calibrated = Spec2Pipeline(steps=NO_CUBES).run(path).calibrated
        members.append(calibrated.save(tmp_path / f"{observation.root}_cal.fits").name)
    (asn,) = mrs_folder.glob("asn/*_spec3_asn.json")
    association = json.loads(asn.read_text())
    for member, name in zip(association["products"][0]["members"], members, strict=True):
        member["expname"] = name
    (tmp_path / "asn.json").write_text(json.dumps(association))
    (truth,) = mrs_folder.glob("truth/*_scene.fits")

    found = Spec3Pipeline.call(tmp_path / "asn.json")

    assert LABELS == found.rectified.labels == found.spectra.labels
    for label, cube, spectra in zip(LABELS, found.rectified, found.spectra, strict=True):
        in_cube = cube_found(cube.save(tmp_path / f"{label}_s3d.fits"), truth)
        assert in_cube.unbiased, f"{label}: {in_cube}"
        assert in_cube.planes > 900
        star = star_found(spectra.spec[0].spec_table, truth)
        assert star.unbiased, f"{label}: {star}"
        assert star.wavelengths > 900
