"""Backgrounds of stage 3 in a project: spectra from files, or of exposures of the same project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dithered_slits
import numpy as np

from stpipe import models
from stpipe.steps.stage3.master_background import MasterBackgroundStep

if TYPE_CHECKING:
    import pytest

LEFT_OUT = ("outlier_detection", "resample_spec", "extract_1d", "combine_1d")
OPTIONS = [f"--steps.{step}.skip=True" for step in LEFT_OUT]


def spectrum(path: Path, level: float) -> Path:
    """A background that is the same at all wavelengths."""
    model: Any = models.MultiSpecModel()
    model.spec.append({})
    table = np.zeros(9, model.spec[0].schema.arrays["spec_table"].dtype)
    table["WAVELENGTH"], table["FLUX"] = np.linspace(0.8, 1.8, 9), 1.0
    table["SURF_BRIGHT"] = level
    model.spec[0].spec_table = table
    model.meta.exposure.exposure_time, model.meta.exposure.type = 100.0, "NRS_FIXEDSLIT"
    return Path(model.save(path))


def association(folder: Path, members: dict[str, str]) -> Path:
    """Of stage 3: types of members by the names of their files."""
    listed = [{"expname": name, "exptype": kind} for name, kind in members.items()]
    product = {"name": dithered_slits.NAME, "members": listed}
    path = folder / "x_spec3_asn.json"
    path.write_text(json.dumps({"asn_type": "spec3", "products": [product]}))
    return path


def planned(run: Any, folder: Path) -> set[str]:
    """Rules of a dry run."""
    return set(
        re.findall(r"rule (\w+):", run("snakemake", "-n", "--cores", "1", cwd=folder).stdout)
    )


def test_a_project_makes_what_is_made_in_memory(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the spectrum and the pixels that are subtracted; an edited spectrum counts."""
    monkeypatch.delenv("CRDS_PATH", raising=False)
    made = dithered_slits.exposures()[:2]
    for exposure in made:
        exposure.slits[0].source_type = "EXTENDED"
    science = [exposure.save(tmp_path / exposure.meta.filename) for exposure in made]
    sky = spectrum(tmp_path / "sky_x1d.fits", 1.25)
    members = {**{path.name: "science" for path in science}, sky.name: "background"}
    asn = association(tmp_path, members)
    saved = "--steps.master_background.save_background=True"
    words = ["--pipeline=calwebb_spec3", asn.name, *OPTIONS, saved]
    run("stflow", "init", "p", *words, cwd=tmp_path)
    project = tmp_path / "p"
    run("snakemake", "--cores", "1", "cal", cwd=project)
    expected = MasterBackgroundStep.call(str(asn))

    sources = sorted(project.glob("cal/**/*_cal.fits"))
    assert 2 == len(sources)
    for number, path in enumerate(sources):
        with models.open(path) as source:
            assert "COMPLETE" == source.meta.cal_step.master_background
            for exposure, part in zip(expected, source.exposures, strict=True):
                np.testing.assert_array_equal(exposure.slits[number].data, part.data)
    (images,) = project.glob("cal/*_masterbg2d.fits")
    with models.open(images) as light:
        assert {1.25} == {*np.unique([part.data for part in light.exposures])}
    assert len(list(project.glob("cal/*_masterbg1d.fits"))) == 1

    spectrum(sky, 2.5)
    assert {"master_background", "exp_to_source"} <= planned(run, project)


def test_spectra_that_the_project_makes(
    run: Any, spectra_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The background is an exposure of the same project, which goes no further than its spectrum."""
    monkeypatch.setenv("CRDS_PATH", str(spectra_folder / "crds"))
    monkeypatch.setenv("CRDS_READONLY_CACHE", "1")
    source = max(spectra_folder.glob("uncal/*.fits"))
    for name in ("star", "sky"):
        (tmp_path / f"{name}_uncal.fits").symlink_to(source)
    asn = association(tmp_path, {"star_cal.fits": "science", "sky_x1d.fits": "background"})
    stages = [f"--pipeline=calwebb_{name}" for name in ("detector1", "spec2", "spec3")]
    exposures = ["star_uncal.fits", "sky_uncal.fits"]
    run("stflow", "init", "p", *stages, *exposures, asn.name, *OPTIONS[:1], cwd=tmp_path)

    text = run("snakemake", "-n", "--cores", "1", cwd=tmp_path / "p").stdout
    (inputs,) = re.findall(r"rule master_background:\n +input: (.*)", text)
    assert {"cal/star_cal.fits", "cal/sky_x1d.fits"} == set(inputs.split(", "))
