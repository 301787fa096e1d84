"""The catalogue of a slitless exposure: named by parameter, association or header; or without use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from astropy.table import QTable
from slitless import Scene, make

from stpipe import models

TYPES = {
    "assign_wcs": ("distortion", "filteroffset", "specwcs"),
    "extract_2d": ("specwcs", "wavelengthrange"),
    "flat_field": ("flat",),
    "photom": ("photom", "area"),
    "extract_1d": ("apcorr",),
}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make(tmp_path)


def options(scene: Scene) -> list[str]:
    """The references, as words of a command."""
    own = {step: scene.parameters(*types) for step, types in TYPES.items()}
    return [f"--steps.{step}.{n}={p}" for step, given in own.items() for n, p in given.items()]


def association(scene: Scene, *catalogues: str) -> Path:
    members = [{"expname": scene.rate.name, "exptype": "science"}]
    members += [{"expname": name, "exptype": "sourcecat"} for name in catalogues]
    path = scene.rate.with_name("x_asn.json")
    product = {"name": "x", "members": members}
    path.write_text(json.dumps({"asn_type": "spec2", "products": [product]}))
    return path


def test_association_and_header_name_it(scene: Scene, run: Any) -> None:
    """Parameters win over the association, which wins over the header and the file beside."""
    words, folder = options(scene), scene.rate.parent
    used = "      source_catalog: {}".format
    asn = association(scene, scene.catalog.name)
    assert used(scene.catalog.name) in planned(run, asn, words)

    other = scene.catalog.rename(folder / "header_cat.ecsv")
    with fits.open(scene.rate, mode="update") as hdus:
        hdus[0].header["SCATFILE"] = f"/somewhere/else/{other.name}"
    assert used(other.name) in planned(run, scene.rate, words)
    own = (folder / "own_cat.ecsv").write_bytes(other.read_bytes()) and "own_cat.ecsv"
    assert used(own) in planned(run, association(scene, own), words)
    given = [*words, f"--steps.extract_2d.source_catalog={other}"]
    assert used(other.name) in planned(run, association(scene, own), given)
    made = run(
        "stflow", "init", folder / "p", "--pipeline=calwebb_spec2", scene.rate, *words, cwd=folder
    )
    assert "1 exposure" in made.stdout

    other.unlink()
    refused = run("strun", "calwebb_spec2", scene.rate, "--dry-run", *words, cwd=folder, code=3)
    assert "header_cat.ecsv, which the header names, is not beside the exposure" in refused.stderr
    two = association(scene, own, scene.catalog.name)
    (folder / scene.catalog.name).write_bytes((folder / own).read_bytes())
    refused = run("strun", "calwebb_spec2", two, "--dry-run", *words, cwd=folder, code=3)
    assert "has 2 sourcecat members, allowed: 1" in refused.stderr


def planned(run: Any, source: Path, words: list[str]) -> list[str]:
    lines: list[str] = run(
        "strun", "calwebb_spec2", source, "--dry-run", *words, cwd=source.parent
    ).stdout.splitlines()
    return lines


@pytest.mark.parametrize("kept", [slice(3, None), slice(0, 0)], ids=["beyond", "empty"])
def test_a_catalogue_without_sources_here_is_no_failure(
    scene: Scene, run: Any, kept: slice
) -> None:
    """A warning, no spectra, exit code 0."""
    table = QTable.read(scene.catalog, format="ascii.ecsv")
    table.meta.clear()
    table[kept].write(scene.catalog, format="ascii.ecsv", overwrite=True)
    asn = association(scene, scene.catalog.name)
    done = run(
        "strun", "calwebb_spec2", asn, *options(scene), "--output_dir=out", cwd=scene.rate.parent
    )

    assert "no source of the catalogue has a spectrum in the exposure" in done.stderr
    assert not list(scene.rate.parent.glob("out/*"))
    assert "ImageModel" == models.open_metadata(scene.rate).model_type
