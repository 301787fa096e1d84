"""The guider pipeline agrees with the peer: all types of exposures, and one from flight.

Needs PEER_PYTHON; the exposure from flight is among the peer's own tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage1 import guider_cds

PEER = os.environ.get("PEER_PYTHON")
pytestmark = pytest.mark.skipif(not PEER, reason="PEER_PYTHON names no interpreter with jwst")
SHARED = Path(__file__).parents[3] / "shared/data/crds_jwst"
Run = Callable[..., "subprocess.CompletedProcess[str]"]
STEPS = {
    "mask": "dq_init",
    "gain": "guider_cds",
    "readnoise": "guider_cds",
    "flat": "flat_field",
}

KINDS = [
    ("FGS_ID-IMAGE", (2, 2)),
    ("FGS_ID-STACK", (2, 2)),
    ("FGS_ACQ1", (6, 2)),
    ("FGS_ACQ2", (5, 2)),
    ("FGS_TRACK", (9, 2)),
    ("FGS_FINEGUIDE", (3, 12)),
    ("FGS_FINEGUIDE", (2, 5)),
]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_rates(peer: Any, kind: str, shape: tuple[int, int], lost: bool) -> None:
    """Differences, minima and means; gains of 0; strips that references cannot be cut to."""
    if lost and "STACK" not in kind:
        pytest.skip("only stacked images have no place on the detector")
    rng = np.random.default_rng(len(kind))
    data = rng.poisson(300, (*shape, 24, 30)).astype(np.float32)
    size = (80, 90) if lost else (24, 30)
    gain = rng.normal(2, 0.1, size).astype(np.float32)
    gain[rng.random(size) < (0 if lost else 0.02)] = 0
    readnoise = rng.normal(12, 1, size).astype(np.float32)
    dq = rng.integers(0, 2**32, (24, 30), dtype=np.uint32)
    parameters = {"kind": kind, "seconds": 0.3, "lost": lost}
    arrays = {"data": data, "gain": gain, "readnoise": readnoise, "dq": dq}
    expected = peer("guider_cds", parameters, **arrays)

    counts = guider_cds.count_differences(data, kind)
    if lost:
        gain, readnoise = (np.full((24, 30), np.mean(a), np.float32) for a in (gain, readnoise))
    rates, errors = guider_cds.rate_of_differences(counts, 0.3, gain, readnoise)

    np.testing.assert_allclose(rates, expected["data"], rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(errors, expected["err"], rtol=2e-5)


def references(folder: Path) -> dict[str, Path]:
    """Full-frame references of one guider, with holes."""
    rng = np.random.default_rng(5)
    frame = (2048, 2048)
    flat = rng.normal(1, 0.1, frame).astype(np.float32)
    flat[rng.random(frame) < 0.01] = np.nan
    made: dict[str, Any] = {
        "mask": models.MaskModel(),
        "gain": models.GainModel(rng.normal(2, 0.1, frame).astype(np.float32)),
        "readnoise": models.ReadnoiseModel(rng.normal(12, 1, frame).astype(np.float32)),
        "flat": models.FlatModel(flat),
    }
    made["mask"].dq = (rng.random(frame) < 0.02).astype(np.uint32)
    made["flat"].err = np.full(frame, 0.01, np.float32)
    made["flat"].dq = np.where(rng.random(frame) < 0.01, 1 << 18, 0).astype(np.uint32)
    for name, model in made.items():
        model.meta.instrument.name, model.meta.instrument.detector = "FGS", "GUIDER2"
        for start in ("xstart", "ystart"):
            model.set(f"meta.subarray.{start}", 1)
        for size in ("xsize", "ysize"):
            model.set(f"meta.subarray.{size}", 2048)
        model.meta.reftype = name
        model.save(folder / f"{name}.fits")
    return {name: folder / f"{name}.fits" for name in made}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no {SHARED}")
def test_an_exposure_from_flight(run: Run, tmp_path: Path) -> None:
    """Raw acquisition images, calibrated in memory, under Snakemake, and by the peer."""
    package = "import jwst, pathlib; print(pathlib.Path(jwst.__file__).parent)"
    found = subprocess.run([PEER or "", "-c", package], capture_output=True, text=True, check=True)
    flight = Path(found.stdout.strip()) / "lib/tests/data/add_wcs_default_acq1.fits"
    exposure = tmp_path / "jw00001001001_gs-acq1_uncal.fits"
    shutil.copy(flight, exposure)
    files = references(tmp_path)
    options = [f"--override_{name}={path}" for name, path in files.items()]

    run("strun", "calwebb_guider", exposure, *options, cwd=tmp_path)
    words = ["--pipeline=calwebb_guider", *options]
    run("stflow", "init", "project", exposure, *words, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal", cwd=tmp_path / "project")
    theirs = [f"--steps.{STEPS[name]}.override_{name}={path}" for name, path in files.items()]
    (tmp_path / "peer").mkdir()
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"} | {
        "CRDS_PATH": str(SHARED),
        "CRDS_READONLY_CACHE": "1",
        "CRDS_CONTEXT": "jwst_9001.pmap",
        "STPIPE_DISABLE_CRDS_STEPPARS": "true",
    }
    strun = [str(Path(PEER or "").parent / "strun"), "calwebb_guider", str(exposure)]
    subprocess.run(
        [*strun, f"--output_dir={tmp_path / 'peer'}", *theirs],
        env=environment,
        check=True,
        capture_output=True,
    )

    name = "jw00001001001_gs-acq1_cal.fits"
    with models.open(tmp_path / "peer" / name) as expected:
        for path in (tmp_path / name, tmp_path / "project/cal" / name):
            with models.open(path) as product:
                assert type(expected) is type(product)
                np.testing.assert_array_equal(expected.dq, product.dq)
                for array in ("data", "err"):
                    np.testing.assert_allclose(
                        getattr(product, array), getattr(expected, array), rtol=2e-5
                    )
