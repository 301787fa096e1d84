"""The whole detector stage agrees with the peer, on exposures of four instruments.

Needs PEER_PYTHON. Both select their reference files from the demo's cache.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.demo import plan, write_demo

RTOL = 2e-5
SHARED = Path(__file__).parents[3] / "shared/data/niriss_sub80"

Peer = Callable[..., Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_peer(
    peer_step: Peer, exposure: Path, folder: Path, crds: Path, **parameters: Any
) -> list[Path]:
    """The peer's products, rates and those of integrations, in `folder`."""
    folder.mkdir()
    given = {"output_dir": str(folder), "save_results": True, **parameters}
    peer_step("jwst.pipeline:Detector1Pipeline", exposure, crds, **given)
    products = sorted(folder.glob("*_rate*.fits"))
    assert 2 == len(products)
    return products


def assert_agrees(expected: Path, actual: Path) -> None:
    """Flags exactly; floats to float32 rounding of the counts that they were made from."""
    with models.open(expected) as theirs, models.open(actual) as ours:
        assert type(theirs) is type(ours)
        for name in theirs.shapes:
            one, other = getattr(theirs, name), getattr(ours, name)
            if one.dtype.kind == "f":
                # Slopes near 0 are differences of thousands of DN.
                scale = 1e-6 * np.nanmax(np.abs(one))
                np.testing.assert_allclose(
                    other, one, rtol=RTOL, atol=scale, equal_nan=True, err_msg=name
                )
            else:
                np.testing.assert_array_equal(other, one, err_msg=name)
        crs = "meta.exposure.primary_cosmic_rays"
        assert theirs.get(crs) == pytest.approx(ours.get(crs), rel=1e-9)


@pytest.mark.parametrize("detector", ["00001_nrca1", "00002_nrca1", "nis", "nrs1", "mirimage"])
def test_subarrays(
    peer_step: Peer, run: Run, demo_folder: Path, crds: Path, tmp_path: Path, detector: str
) -> None:
    """The demo's exposures: averaged frames, several integrations, darks of single frames."""
    exposure = next(demo_folder.glob(f"uncal/*{detector}_uncal.fits"))
    products = run_peer(peer_step, exposure, tmp_path / "peer", crds)
    run("strun", "calwebb_detector1", exposure, cwd=tmp_path)

    for product in products:
        assert_agrees(product, tmp_path / product.name)


@pytest.mark.parametrize(("instrument", "nints", "ngroups"), [("NIRCAM", 1, 6), ("MIRI", 2, 8)])
def test_full_frames(
    peer_step: Peer,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    instrument: str,
    nints: int,
    ngroups: int,
) -> None:
    """Reference pixels on all sides, and millions of ramps."""
    observation = plan(instrument, subarray="FULL", nints=nints, ngroups=ngroups, seed=9)
    list(write_demo(tmp_path, [observation]))
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "crds"))
    exposure = next(tmp_path.glob("uncal/*.fits"))
    products = run_peer(peer_step, exposure, tmp_path / "peer", tmp_path / "crds")
    run("strun", "calwebb_detector1", exposure, "--threads=2", cwd=tmp_path)

    for product in products:
        assert_agrees(product, tmp_path / product.name)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no {SHARED}")
def test_an_exposure_of_somebody_else(
    peer_step: Peer, run: Run, tmp_path: Path, demo_folder: Path
) -> None:
    """NIRISS SUB80 by another simulator, with references given by the user, both ways."""
    exposure = next(SHARED.glob("*_uncal.fits"))
    types = ["mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise"]
    overrides = [f"--override_{t}={SHARED / f'syn_{t}.fits'}" for t in types]
    run("strun", "calwebb_detector1", exposure, *overrides, "--override_ipc=N/A", cwd=tmp_path)
    words = ["--pipeline=calwebb_detector1", *overrides, "--override_ipc=N/A"]
    run("stflow", "init", "project", exposure, *words, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal", cwd=tmp_path / "project")

    by_step = {
        "dq_init": ["mask"],
        "saturation": ["saturation", "superbias"],
        "superbias": ["superbias"],
        "linearity": ["linearity"],
        "dark_current": ["dark"],
        "jump": ["gain", "readnoise"],
        "ramp_fit": ["gain", "readnoise"],
        "gain_scale": ["gain"],
    }
    steps: dict[str, dict[str, Any]] = {
        step: {f"override_{t}": str(SHARED / f"syn_{t}.fits") for t in of_step}
        for step, of_step in by_step.items()
    }
    steps["ipc"] = {"skip": True}
    products = run_peer(peer_step, exposure, tmp_path / "peer", demo_folder / "crds", steps=steps)
    for product in products:
        assert_agrees(product, tmp_path / product.name)
        assert_agrees(product, tmp_path / "project/cal" / product.name)
