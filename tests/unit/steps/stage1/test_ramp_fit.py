"""The step of the ramp fit: which fit an exposure gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage1 import ramp_fit


def test_the_step_fits_and_saves_chi_squared(run: Any, demo_folder: Path, tmp_path: Path) -> None:
    """`--algorithm=LIKELY` from the command line; the rates are close to those of least squares."""
    exposure = next(demo_folder.glob("uncal/*nis_uncal.fits"))
    crds = {"CRDS_PATH": demo_folder / "crds"}
    env = [f"{name}={value}" for name, value in crds.items()]
    for words in (["--algorithm=LIKELY", "--save_opt"], ["--output_file=ols.fits"]):
        run("env", *env, "strun", "ramp_fit", exposure, *words, cwd=tmp_path)
    chisq = next(tmp_path.glob("*_likely_chisq.fits"))
    with models.open(next(tmp_path.glob("*_rate.fits"))) as rate, models.open(chisq) as quality:
        assert np.nanmedian(quality.data) > 0
        with models.open(tmp_path / "ols.fits") as ols:
            ratio = rate.data / ols.data
            assert np.nanmedian(ratio) == pytest.approx(1, abs=0.02)
            assert not np.array_equal(rate.data, ols.data)


def test_few_groups_are_fitted_by_least_squares(crds: Path, demo_folder: Path) -> None:
    """With three groups the algorithm is OLS_C, and the log says so."""
    del crds
    exposure = next(demo_folder.glob("uncal/*nis_uncal.fits"))
    with models.RampModel(exposure) as ramp:
        short = ramp.copy()
        short.data = np.array(ramp.data[:, :3])
        short.groupdq = np.zeros(short.data.shape, np.uint8)
        short.meta.exposure.ngroups = 3
        likely_step = ramp_fit.RampFitStep(algorithm="LIKELY")
        one, _ = likely_step.run(short)
        other, _ = ramp_fit.RampFitStep().run(short)
    np.testing.assert_array_equal(one.data, other.data)
    assert any("LIKELY needs 4 groups" in text for text in likely_step.warnings)


def test_listed_read_times_ask_for_the_likelihood(crds: Path, demo_folder: Path) -> None:
    """Uneven reads cannot be fitted by equal steps: a group that comes late does not bend the ramp."""
    del crds
    exposure = next(demo_folder.glob("uncal/*nis_uncal.fits"))
    with models.RampModel(exposure) as ramp:
        uneven = ramp.copy()
        ngroups = ramp.shape[1]
        times = np.arange(1.0, ngroups + 1)
        times[-1] += 5
        line = np.broadcast_to(100 * times[:, None, None], ramp.shape).astype(np.float32)
        uneven.data = line.copy()
        uneven.meta.exposure.read_times = [[float(t)] for t in times]
        rate, _ = ramp_fit.RampFitStep().run(uneven)
    np.testing.assert_allclose(rate.data[40, 40], 100, rtol=1e-4)
