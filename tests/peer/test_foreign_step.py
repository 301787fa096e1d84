"""A step of the peer in the place of ours, by a rule of one's own: it reads and writes our files.

Needs PEER_PYTHON.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stpipe import models

PEER = os.environ.get("PEER_PYTHON")
pytestmark = [
    pytest.mark.skipif(not PEER, reason="PEER_PYTHON names no interpreter with jwst"),
    pytest.mark.usefixtures("crds"),
]
ROOT = Path(__file__).parents[2]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_example_of_the_documentation(run: Run, demo_folder: Path, tmp_path: Path) -> None:
    """The peer's jump step between our dark_current and ramp_fit; a tool that looks for sources."""
    text = (ROOT / "docs/projects.md").read_text().split("## Rules of your own")[1]
    rules, finder = (block.partition("\n")[2] for block in text.split("```")[1:4:2])
    exposure = next(demo_folder.glob("uncal/*nis_uncal.fits"))
    run("stflow", "init", "p", "--pipeline=calwebb_detector1", exposure, cwd=tmp_path)
    folder = tmp_path / "p"
    (folder / "workflow/rules.smk").write_text(
        rules.replace("/opt/jwst", str(Path(PEER or "").parent.parent))
    )
    (folder / "find_sources.py").write_text(finder)
    root = exposure.name.removesuffix("_uncal.fits")

    run("snakemake", "--cores", "2", "cal", f"sources/{root}.txt", cwd=folder)

    assert (folder / f"logs/{root}_jump_of_jwst.log").is_file()
    assert not (folder / f"logs/{root}_jump.log").exists()
    assert len((folder / f"sources/{root}.txt").read_text().splitlines()) > 1
    done = run("snakemake", "--cores", "2", "cal", f"sources/{root}.txt", cwd=folder)
    assert "Nothing to be done" in done.stdout + done.stderr
    run("stflow", "generate", cwd=folder)
    run("strun", "calwebb_detector1", exposure, cwd=tmp_path)
    with models.open(folder / f"cal/{root}_rate.fits") as one:
        with models.open(tmp_path / f"{root}_rate.fits") as other:
            scale = 1e-6 * np.nanmax(np.abs(other.data))
            np.testing.assert_allclose(one.data, other.data, rtol=2e-5, atol=scale)
            np.testing.assert_array_equal(one.dq, other.dq)
        assert "COMPLETE" == one.meta.cal_step.jump == one.meta.cal_step.linearity
