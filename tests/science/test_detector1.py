"""The detector stage on simulated exposures, held against what the simulator knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe.demo import plan, write_demo
from stpipe.demo.observation import Observation
from stpipe.demo.truth import Truth
from stpipe.models import dqflags
from stpipe.pipelines.detector1 import Detector1Pipeline

EXPOSURES = [
    plan("NIRCAM", ngroups=10, nints=2, seed=21),
    plan("NIRISS", ngroups=8, nints=3, seed=22),
    plan("MIRI", ngroups=12, nints=2, seed=23),
]
UNUSABLE = dqflags.DO_NOT_USE | dqflags.REFERENCE_PIXEL


@pytest.fixture(params=EXPOSURES, ids=lambda observation: observation.detector.instrument)
def calibrated(
    request: pytest.FixtureRequest, tmp_path: Path, crds: Path
) -> tuple[Observation, list[object], Truth]:
    """An exposure's rate and rateints, and the truth; reference files are the demo's own."""
    assert crds.is_dir()
    list(write_demo(tmp_path, [request.param]))
    (raw,) = tmp_path.glob("uncal/*_uncal.fits")
    (truth,) = tmp_path.glob("truth/*_truth.fits")
    return request.param, list(Detector1Pipeline().run(raw)), Truth.load(truth)


def test_rates_and_their_errors(calibrated: tuple[Observation, list[object], Truth]) -> None:
    """From the faintest fifth of the pixels to the brightest: no bias, and pulls of width 1.

    Pixels with jumps are another matter (`test_jumps`). Within 3 % of the width where photons are
    the noise; the errors of fainter ramps are known to be a little small (`test_slopes`).
    """
    _, (rate, _), truth = calibrated
    good = (rate.dq | truth.dq) & (UNUSABLE | dqflags.JUMP_DET) == 0
    good &= np.isfinite(rate.data) & (rate.err > 0)
    pull = (rate.data - truth.rate)[good] / rate.err[good]
    order = np.argsort(truth.rate[good])
    parts = np.array_split(pull[order], 5)
    for part in parts:
        kept = part[np.abs(part) < 5]
        assert len(part) - len(kept) < 1e-3 * len(part)
        assert 0 == pytest.approx(kept.mean(), abs=0.1)
        # The width of n pulls is itself known to 1 / sqrt(2 n).
        assert 1 == pytest.approx(kept.std(), abs=0.07 + 2 / np.sqrt(2 * len(kept)))


def test_large_cosmic_rays_are_found(
    calibrated: tuple[Observation, list[object], Truth],
) -> None:
    """Hits of ten times the noise leave JUMP_DET in the integration that they struck."""
    observation, (rate, rateints), truth = calibrated
    gain, read_noise = observation.detector.gain, observation.detector.read_noise
    hits = truth.cosmic_rays
    place = (hits["integration"], hits["y"], hits["x"])
    light = rate.data[hits["y"], hits["x"]] * gain * observation.group_time
    noise = np.sqrt(np.maximum(light, 0) + 2 * (gain * read_noise) ** 2)
    full = truth.first_saturated[place] < observation.ngroups
    large = (hits["electrons"] > 10 * noise) & ~full & np.isfinite(light)
    found = rateints.dq[place] & dqflags.JUMP_DET > 0
    assert large.sum() > 10
    assert found[large].mean() > 0.97
