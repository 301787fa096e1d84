"""Associations of stage 2: exposures and the backgrounds that belong to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.core.associations import assignments
from stpipe.demo.observation import DITHERS
from stpipe.demo.project import write_demo
from stpipe.errors import InputError
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.pipelines.image3 import Image3Pipeline
from stpipe.science.wcs.nirspec.modes import references_of
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.badpix_selfcal import BadpixSelfcalStep
from stpipe.steps.stage2.bkg_subtract import BackgroundStep
from stpipe.steps.stage2.imprint import ImprintStep


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Rates of three exposures, and the folder of their references beside them."""
    folder = tmp_path_factory.mktemp("rates")
    list(write_demo(folder, DITHERS[:3]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder / "crds"))
        for source in sorted(folder.glob("uncal/*.fits")):
            Detector1Pipeline.call(str(source), output_dir=str(folder))
    return sorted(folder.glob("*_rate.fits"))


@pytest.fixture
def crds(rates: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The references of the rates are in force."""
    monkeypatch.setenv("CRDS_PATH", str(rates[0].parent / "crds"))
    monkeypatch.setenv("CRDS_READONLY_CACHE", "1")


Members = Sequence[tuple[Path, str]]


def association(folder: Path, **products: Members) -> Path:
    """An association file with these products."""
    listed = [
        {"name": name, "members": [{"expname": str(p), "exptype": kind} for p, kind in members]}
        for name, members in products.items()
    ]
    path = folder / "x_image2_asn.json"
    path.write_text(json.dumps({"asn_pool": "pool.csv", "products": listed}))
    return path


def with_backgrounds(rates: Sequence[Path], folder: Path) -> Path:
    """Two products: the first with backgrounds."""
    first: Members = [
        (rates[0], "science"),
        (rates[1], "background"),
        (rates[2], "BACKGROUND"),
    ]
    return association(folder, one=first, two=[(rates[1], "science")])


@pytest.mark.usefixtures("crds")
def test_products_are_made_one_after_the_other(
    rates: list[Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    """Files are named as products are; images with backgrounds are those without them, less them."""
    asn = with_backgrounds(rates, tmp_path)
    run("strun", "calwebb_image2", asn, "--output_dir=out", cwd=tmp_path)

    names = {f"{name}_{suffix}.fits" for name in ("one", "two") for suffix in ("cal", "i2d")}
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    with models.open(tmp_path / "out/one_cal.fits") as image:
        assert "COMPLETE" == image.meta.cal_step.bkg_subtract
        assert (asn.name, "pool.csv") == (image.meta.asn.table_name, image.meta.asn.pool_name)
        record = next(r for r in image.provenance if r["step"] == "bkg_subtract")
        assert asn.name == record["sources"]["bkg_list"]
        alone = BackgroundStep(bkg_list=list(map(str, rates[1:]))).run(rates[0])
        expected = Image2Pipeline.call(alone).image
        np.testing.assert_array_equal(expected.data, image.data)
    with models.open(tmp_path / "out/two_cal.fits") as image:
        assert "SKIPPED" == image.meta.cal_step.bkg_subtract


@pytest.mark.usefixtures("crds")
def test_calls_return_a_list(rates: list[Path], tmp_path: Path) -> None:
    """One result for each product; the user's own backgrounds win; mosaics have no distortion."""
    asn = with_backgrounds(rates, tmp_path)
    one, two = Image2Pipeline.call(str(asn))
    assert (rates[0].name, rates[1].name) == (one.image.meta.filename, two.image.meta.filename)
    assert "COMPLETE" == one.mosaic.meta.cal_step.resample
    assert one.mosaic.meta.wcsinfo.a_order is None
    own, _ = Image2Pipeline.call(
        str(asn), steps={"bkg_subtract": {"skip": True}, "resample": {"skip": True}}
    )
    assert own.mosaic is None
    assert not np.array_equal(own.image.data, one.image.data, equal_nan=True)


@pytest.mark.usefixtures("crds")
def test_dry_run_tells_backgrounds(rates: list[Path], run: Any, tmp_path: Path) -> None:
    """As the run would take them."""
    asn = with_backgrounds(rates, tmp_path)
    lines = run("strun", "calwebb_image2", asn, "--dry-run", cwd=tmp_path).stdout.splitlines()
    assert [str(rates[0]), str(rates[1])] == [line for line in lines if line.startswith("/")]
    assert f"      background_1: {rates[1].name}" in lines
    assert "  resample -> i2d" in lines
    assert 1 == sum("bkg_subtract: skipped" in line for line in lines)


def test_associations_that_cannot_be(rates: list[Path], tmp_path: Path) -> None:
    """Products without an exposure or with two; backgrounds that nobody subtracts; lost files."""
    two = association(tmp_path, one=[(rates[0], "science"), (rates[1], "science")])
    with pytest.raises(InputError, match="the product one has 2 science members, allowed: 1"):
        assignments(Image2Pipeline, str(two))
    lost = association(tmp_path, one=[(tmp_path / "lost.fits", "science")])
    with pytest.raises(InputError, match=r"1 of 1 member not found:\n.*lost\.fits"):
        assignments(Image2Pipeline, str(lost))
    asn = with_backgrounds(rates, tmp_path)
    with pytest.raises(InputError, match="Detector1Pipeline has no step bkg_subtract"):
        assignments(Detector1Pipeline, str(asn))


def test_members_by_their_type(rates: list[Path], tmp_path: Path) -> None:
    """Each step gets the lists that it takes; what is to be subtracted no pipeline leaves out."""
    kinds = ("science", "background", "imprint", "imprint", "selfcal")
    asn = association(tmp_path, one=[(rates[n % 3], kind) for n, kind in enumerate(kinds)])
    one, two, three = map(str, rates)

    def lists(cls: Any) -> dict[str, list[str]]:
        (run,) = assignments(cls, str(asn))
        return {name: raw.value for name, raw in run.settings.values.items()}

    assert {"imprint_list": [three, one]} == lists(ImprintStep)
    assert {"bkg_list": [two], "imprint_list": [three, one]} == lists(BackgroundStep)
    assert {"bkg_list": [two], "selfcal_list": [two]} == lists(BadpixSelfcalStep)
    with pytest.raises(InputError, match="Detector1Pipeline has no step bkg_subtract"):
        assignments(Detector1Pipeline, str(asn))


def test_what_is_no_association_of_stage_2(rates: list[Path], tmp_path: Path) -> None:
    """Files stay what they are, and steps over many exposures take the association whole."""
    asn = str(with_backgrounds(rates, tmp_path))
    assert [asn] == [one.source for one in assignments(Image3Pipeline, asn)]
    assert [rates[0]] == [one.source for one in assignments(Image2Pipeline, rates[0])]
    step, other = assignments(BackgroundStep, asn)
    assert list(map(str, rates[1:])) == step.settings.values["bkg_list"].value
    assert {} == other.settings.values


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("form", ["file", "path", "read", "dictionary"])
def test_whatever_an_association_is_given_as(
    rates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Pipelines that take many and those that take one; members of other kinds need not be there."""
    monkeypatch.chdir(tmp_path)
    members = [(rates[0], "science"), (Path("nobody_fetched_it.fits"), "target_acquisition")]
    path = association(tmp_path, one=members)
    forms = {"file": str(path), "path": path, "read": models.load_association(path)}
    given = (forms | {"dictionary": json.loads(path.read_text())})[form]
    (products,) = Image2Pipeline.call(given)
    products.image.save(tmp_path / "one_cal.fits")
    again = association(tmp_path, all=[(tmp_path / "one_cal.fits", "science"), members[1]])
    forms = {"file": str(again), "path": again, "read": models.load_association(again)}
    given = (forms | {"dictionary": json.loads(again.read_text())})[form]
    left = {name: {"skip": True} for name in ("tweakreg", "outlier_detection", "source_catalog")}
    mosaic = Image3Pipeline.call(given, steps=left)
    assert "ImageModel" == type(mosaic).__name__


@pytest.mark.usefixtures("crds")
def test_a_plan_asks_for_the_members_that_are_used(
    rates: list[Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    """As a run does: a dry run names what is missing among those, and nothing else."""
    members = [(rates[0], "science"), (rates[1], "science"), (Path("no.fits"), "background")]
    path = association(tmp_path, one=members)
    done = run("strun", "calwebb_image3", path, "--dry-run", cwd=tmp_path)
    assert "no.fits" not in done.stdout


def test_what_a_header_names_is_beside_the_exposure(tmp_path: Path) -> None:
    """The metafile of shutters, for a product of another name and in another folder, too."""
    folder = tmp_path / "exposures"
    folder.mkdir()
    exposure = models.ImageModel(np.zeros((4, 4), np.float32))
    exposure.meta.instrument.msa_metadata_file = "jw01_msa.fits"
    exposure.meta.exposure.type = "NRS_MSASPEC"
    exposure.save(folder / "jw01_rate.fits")
    (folder / "jw01_msa.fits").touch()
    path = association(tmp_path, one=[(folder / "jw01_rate.fits", "science")])

    step = AssignWcsStep(**{f"override_{name}": "N/A" for name in references_of("shutters")})
    (assignment,) = assignments(AssignWcsStep, path)
    with assignment.opened(step) as opened:
        selected = step.select_references(opened.to_flat_dict())
    assert folder / "jw01_msa.fits" == selected["msametafile"].path
    assert "one.fits" == str(step.context.source)
