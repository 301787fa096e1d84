"""Imprints of an association in a project: subtracted from the exposure and from its backgrounds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from stpipe import models

LEVELS = {"science": 7.0, "background": 3.0, "imprint": 2.0}
PIPELINE = '''"""Subtract imprints and backgrounds."""

from stpipe import Pipeline
from stpipe.steps import BackgroundStep, ImprintStep


class Subtract(Pipeline):
    """Subtract imprints and backgrounds."""

    alias = "subtract"
    step_defs = {"imprint": ImprintStep, "bkg_subtract": BackgroundStep}

    def process(self, exposure):
        return self.bkg_subtract(self.imprint(exposure))
'''


def write_rate(path: Path, level: float) -> None:
    image = models.IFUImageModel()
    image.data = np.full((8, 9), level, np.float32)
    image.dq, image.err = np.zeros((8, 9), np.uint32), np.ones((8, 9), np.float32)
    image.meta.exposure.type = "NRS_IFU"
    image.meta.subarray.xstart = image.meta.subarray.ystart = 1
    image.save(path)


def test_members_are_subtracted_and_tracked(run: Any, tmp_path: Path) -> None:
    """As strun does it; when the imprint changes both steps run again."""
    (tmp_path / "mine.py").write_text(PIPELINE)
    members = [{"expname": f"{kind}_nrs1_rate.fits", "exptype": kind} for kind in LEVELS]
    content = {"asn_type": "spec2", "products": [{"name": "one", "members": members}]}
    (tmp_path / "x_spec2_asn.json").write_text(json.dumps(content))
    for kind, level in LEVELS.items():
        write_rate(tmp_path / f"{kind}_nrs1_rate.fits", level)
    run("strun", "mine.py:Subtract", "x_spec2_asn.json", "--output_dir=whole", cwd=tmp_path)
    run("stflow", "init", "p", "--pipeline=mine.py:Subtract", "x_spec2_asn.json", cwd=tmp_path)
    run("snakemake", "--cores", "1", "cal", cwd=tmp_path / "p")

    for path in ("whole/one_bsub.fits", "p/cal/one_bsub.fits"):
        with models.open(tmp_path / path) as image:
            assert (image.data == 7 - 2 - (3 - 2)).all()
    write_rate(tmp_path / "imprint_nrs1_rate.fits", 2.5)
    text = run("snakemake", "-n", "--cores", "1", "cal", cwd=tmp_path / "p").stdout
    assert {"imprint", "bkg_subtract"} <= set(re.findall(r"rule (\w+):", text))
