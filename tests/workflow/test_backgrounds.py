"""Associations of stage 2 in a project: exposures with the backgrounds that belong to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.demo.observation import DITHERS
from stpipe.demo.project import write_demo
from stpipe.pipelines.detector1 import Detector1Pipeline

PRODUCTS = ("one_cal.fits", "one_i2d.fits", "two_cal.fits", "two_i2d.fits")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Rates of three exposures, an association of two of them, and their references in force."""
    folder = tmp_path_factory.mktemp("backgrounds")
    list(write_demo(folder, DITHERS[:3]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder / "crds"))
        patch.setenv("CRDS_READONLY_CACHE", "1")
        for source in sorted(folder.glob("uncal/*.fits")):
            Detector1Pipeline.call(str(source), output_dir=str(folder))
        _write_association(folder)
        yield folder


def _write_association(folder: Path) -> None:
    one, two, three = (path.name for path in sorted(folder.glob("*_rate.fits")))
    listed: list[dict[str, Any]] = [
        {"name": name, "members": [{"expname": n, "exptype": kind} for n, kind in members]}
        for name, members in (
            ("one", [(one, "science"), (three, "background")]),
            ("two", [(two, "science")]),
        )
    ]
    content = {"asn_type": "image2", "asn_pool": "pool.csv", "products": listed}
    (folder / "x_image2_asn.json").write_text(json.dumps(content))


def planned(run: Any, folder: Path) -> set[tuple[str, str]]:
    """Rules and exposures of a dry run."""
    text = run("snakemake", "-n", "--cores", "2", "cal", cwd=folder).stdout
    return set(re.findall(r"rule (\w+):\n.*?wildcards: root=(\S+)\n", text, re.DOTALL))


def test_a_project_makes_what_strun_makes(run: Any, home: Path) -> None:
    """The same pixels under the names of products; nothing to do afterwards; backgrounds count."""
    run("strun", "calwebb_image2", "x_image2_asn.json", "--output_dir=whole", cwd=home)
    words = ["--pipeline=calwebb_image2", "x_image2_asn.json"]
    run("stflow", "init", "p", *words, cwd=home)
    project = home / "p"
    run("snakemake", "--cores", "2", "cal", cwd=project)

    for name in PRODUCTS:
        with (
            models.open(home / "whole" / name) as whole,
            models.open(project / "cal" / name) as file,
        ):
            np.testing.assert_array_equal(whole.data, file.data)
            np.testing.assert_array_equal(whole.err, file.err)
            assert whole.meta.cal_step.bkg_subtract == file.meta.cal_step.bkg_subtract
            about = ("x_image2_asn.json", "pool.csv")
            assert about == (file.meta.asn.table_name, file.meta.asn.pool_name)
    assert set() == planned(run, project)

    background = sorted(home.glob("*_rate.fits"))[2]
    with models.open(background) as image:
        image.data = image.data + np.float32(1)
        image.save(home / "changed.fits")
    (home / "changed.fits").replace(background)
    again = planned(run, project)
    assert {"one"} == {root for _, root in again}
    assert "bkg_subtract" in {rule for rule, _ in again}


def test_an_association_of_stage_3_takes_products_of_stage_2(run: Any, home: Path) -> None:
    """They are told apart by their type, and joined by the names of files."""
    members = [{"expname": f"{n}_cal.fits", "exptype": "science"} for n in ("one", "two")]
    content = {"asn_type": "image3", "products": [{"name": "field", "members": members}]}
    (home / "y_image3_asn.json").write_text(json.dumps(content))
    words = ["--pipeline=calwebb_image2", "--pipeline=calwebb_image3"]
    # Associations of stage 2 come first, in whatever order they are given.
    run("stflow", "init", "q", *words, "y_image3_asn.json", "x_image2_asn.json", cwd=home)

    rules = planned(run, home / "q")
    assert {("photom", "one"), ("photom", "two"), ("resample", "field")} <= rules
