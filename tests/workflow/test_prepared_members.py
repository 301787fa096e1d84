"""Associations of stage 2 whose members are made in the same project, from raw exposures on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import Pipeline, models
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.spec2 import Spec2Pipeline
from tests.workflow.comparing import same_arrays

KINDS = ("science", "background", "imprint")
ROOTS = [f"jw01234008001_02101_0000{number}_nrs1" for number in (1, 2, 3)]
STAGES = ("--pipeline=calwebb_detector1", "--pipeline=calwebb_spec2")
# What makes no difference to which file is read by whom.
LEFT_OUT = (
    *("saturation", "superbias", "refpix", "linearity", "dark_current", "jump"),
    *("master_background_mos", "wavecorr", "flat_field", "pathloss", "barshadow", "photom"),
    *("resample_spec", "extract_1d"),
)
OPTIONS = [f"--steps.{step}.skip=True" for step in LEFT_OUT]


@pytest.fixture
def home(
    nirspec_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Three raw exposures through shutters, and an association of what detector1 makes of them."""
    demo = nirspec_folder("mos")
    monkeypatch.setenv("CRDS_PATH", str(demo / "crds"))
    (tmp_path / "uncal").mkdir()
    for metafile in demo.glob("uncal/*_msa.fits"):
        shutil.copy(metafile, tmp_path / "uncal")
    (source,) = demo.glob("uncal/*_uncal.fits")
    for number, root in enumerate(ROOTS):
        write_exposure(source, tmp_path / "uncal" / f"{root}_uncal.fits", number)
    members = [
        {"expname": f"{root}_rate.fits", "exptype": kind}
        for root, kind in zip(ROOTS, KINDS, strict=True)
    ]
    # The archive names what is made after the exposure that it is made of.
    content = {"asn_type": "spec2", "products": [{"name": ROOTS[0], "members": members}]}
    (tmp_path / "x_spec2_asn.json").write_text(json.dumps(content))
    return tmp_path


def write_exposure(source: Path, target: Path, level: int) -> None:
    """The exposure with some more light everywhere."""
    with models.open(source) as raw:
        more = (level * np.arange(raw.shape[1])).astype(np.uint16)
        raw.data = raw.data + more[:, None, None]
        raw.save(target)


def left_out(pipeline: type[Pipeline]) -> dict[str, dict[str, bool]]:
    """Parameters of its steps."""
    return {step: {"skip": True} for step in LEFT_OUT if step in pipeline.step_defs}


def planned(run: Any, folder: Path) -> set[tuple[str, str]]:
    """Rules and roots of a dry run."""
    text = run("snakemake", "-n", "--cores", "2", "cal", cwd=folder).stdout
    return set(re.findall(r"rule (\w+):\n.*?wildcards: root=(\S+)\n", text, re.DOTALL))


def test_members_are_made_subtracted_and_tracked(run: Any, home: Path) -> None:
    """The same pixels in a project and in memory; an edited member reruns what it is for."""
    exposures = sorted(home.glob("uncal/*_uncal.fits"))
    run("stflow", "init", "p", *STAGES, *exposures, "x_spec2_asn.json", *OPTIONS, cwd=home)
    with (home / "p/config/config.yaml").open("a") as config:
        config.write("keep: [imprint]\n")  # jobs of several steps, before and after it
    run("snakemake", "--cores", "2", "cal", cwd=home / "p")
    for raw in exposures:
        Detector1Pipeline.call(raw, output_dir=str(home), steps=left_out(Detector1Pipeline))
    for metafile in home.glob("uncal/*_msa.fits"):
        shutil.copy(metafile, home)
    association = str(home / "x_spec2_asn.json")
    Spec2Pipeline.call(association, output_dir=str(home), steps=left_out(Spec2Pipeline))

    name = f"{ROOTS[0]}_extract_2d.fits"
    same_arrays(home / "p/cal" / name, home / name)
    with models.open(home / "p/cal" / name) as slits:
        assert (slits.meta.cal_step.imprint, slits.meta.cal_step.bkg_subtract) == ("COMPLETE",) * 2
    assert set() == planned(run, home / "p")

    background = exposures[1]
    write_exposure(background, background, 1)
    again = planned(run, home / "p")
    assert {("ramp_fit", ROOTS[1]), ("extract_2d", ROOTS[0])} == again


def test_members_that_are_not_made_any_more_are_missed(run: Any, home: Path) -> None:
    """An exposure is taken out of the project, whatever was planned before."""
    exposures = sorted(home.glob("uncal/*_uncal.fits"))
    run("stflow", "init", "p", *STAGES, *exposures, "x_spec2_asn.json", *OPTIONS, cwd=home)
    config = home / "p/config/config.yaml"
    config.write_text(config.read_text().replace(f"- ../uncal/{ROOTS[2]}_uncal.fits\n", ""))

    done = run("stflow", "generate", "--directory=p", cwd=home, code=3)
    assert "1 of 3 members not found" in done.stderr

    # Without the association exposures go through all stages again.
    config.write_text(config.read_text().replace("- ../x_spec2_asn.json\n", ""))
    done = run("stflow", "generate", "--directory=p", cwd=home)
    assert "2 exposures, 10 jobs" in done.stdout
