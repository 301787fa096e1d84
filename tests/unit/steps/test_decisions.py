"""Where the peer is odd: what we do differently on purpose, and what we keep, one test for each.

The list is in docs/differences.md; most of it has tests beside the step that it is about.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.science.ramps import fitting
from stpipe.science.ramps.samples import Ramps
from stpipe.steps.stage1 import dark_current
from stpipe.steps.stage1.jump.step import JumpStep
from stpipe.steps.stage1.refpix import sirs
from stpipe.steps.stage1.refpix import step as refpix
from stpipe.steps.stage1.saturation import step as saturation
from stpipe.testing import apply

JUMP, DNU = dqflags.JUMP_DET, dqflags.DO_NOT_USE
TIME, GAIN, READNOISE = 5.0, 2.0, 8.0


@pytest.fixture
def nircam(demo_folder: Path) -> Path:
    return next(demo_folder.glob("uncal/*00001_nrca1_uncal.fits"))


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("step", "status"), [("dark_current", "dark_sub"), ("saturation", "saturation")]
)
def test_a_step_left_out_by_parameter_says_so(nircam: Path, step: str, status: str) -> None:
    """The keyword and the history, with who asked for it."""
    rate, _ = Detector1Pipeline(steps={step: {"skip": True}}).run(nircam)
    assert "SKIPPED" == rate.get(f"meta.cal_step.{status}")
    (record,) = (r for r in rate.provenance if r["step"] == step)
    assert ("SKIPPED", "keyword") == (record["status"], record["source"])


@pytest.mark.usefixtures("crds")
def test_without_the_ramp_fit_the_product_is_the_ramp(nircam: Path, tmp_path: Path) -> None:
    """Named after the last step that ran, as it is in a project."""
    pipeline = Detector1Pipeline(steps={"ramp_fit": {"skip": True}}, output_dir=str(tmp_path))
    ramp = pipeline.run(nircam)
    pipeline.save(ramp)
    (product,) = tmp_path.iterdir()
    assert product.name.endswith("_nrca1_jump.fits")
    with models.open(product) as saved:
        assert "SKIPPED" == saved.meta.cal_step.ramp_fit
        assert isinstance(saved, models.RampModel)


def pixel(samples: Any, groupdq: Any, *, suppress: bool) -> tuple[Any, Any]:
    """Rates of one pixel with `samples` (integrations, groups) and flags."""
    data = np.asarray(samples, np.float32)[..., None, None]
    flags = np.asarray(groupdq, np.uint8).reshape(data.shape)
    image = np.ones((1, 1), np.float32)
    if suppress:
        flags = fitting.suppress_single_groups(flags)
    ramps = Ramps(
        data=data,
        groupdq=flags,
        original=flags,
        pixeldq=np.zeros((1, 1), np.uint32),
        gain=GAIN * image,
        readnoise=READNOISE * image,
        dark=0 * image,
        zeroframe=None,
    )
    times = fitting.FitTimes(TIME, TIME, 1, 0, 0)
    return fitting.fit_ramps(ramps, times, suppress_one_group=suppress)


def test_errors_of_exposures_and_integrations_differ_for_several_segments() -> None:
    """The root of the two variances, and the sum weighted by the variances of segments."""
    samples = [[0, 10, 20, 530, 540, 550, 560, 570]]
    rate, rateints = pixel(samples, [[0, 0, 0, JUMP, 0, 0, 0, 0]], suppress=True)
    var_p = [2 / (TIME * GAIN * n) for n in (2, 4)]
    noise = READNOISE * GAIN / np.sqrt(2)
    var_r = [12 * (noise / TIME) ** 2 / ((n**3 - n) * GAIN**2) for n in (3, 5)]
    both = 1 / sum(1 / np.array(var_p)) + 1 / sum(1 / np.array(var_r))
    assert np.sqrt(both) == pytest.approx(rate.err[0, 0], rel=1e-5)
    each = 1 / sum(1 / (np.array(var_p) + np.array(var_r)))
    assert np.sqrt(each) == pytest.approx(rateints.err[0, 0, 0], rel=1e-5)
    assert rateints.err[0, 0, 0] > rate.err[0, 0]


def test_poisson_noise_has_no_weight() -> None:
    """A bright integration with less read noise than a faint one counts as the longer one does."""
    samples = [[0, 1000, 2000, 3000], [0, 10, 0, 0]]
    rate, _ = pixel(samples, [[0, 0, 0, 0], [0, 0, DNU, DNU]], suppress=False)
    weights = np.array([(4**3 - 4) / 12, 1 / 2])
    expected = np.average([1000 / TIME, 10 / TIME], weights=weights)
    assert expected == pytest.approx(rate.data[0, 0], rel=1e-5)


def test_a_ramp_of_jumps_alone_has_the_rate_0_without_a_flag() -> None:
    """It has no segment, and nothing that would tell."""
    rate, _ = pixel([[0, 10, 20]], [[JUMP, JUMP, JUMP]], suppress=True)
    assert 0 == rate.data[0, 0]
    assert 0 == rate.dq[0, 0] & DNU
    assert JUMP == rate.dq[0, 0]


def test_a_jump_and_a_good_group_are_a_single_good_group() -> None:
    """Although both together would make a segment."""
    flags = [[JUMP, 0, DNU]]
    suppressed, _ = pixel([[0, 10, 20]], flags, suppress=True)
    assert np.isnan(suppressed.data[0, 0])
    kept, _ = pixel([[0, 10, 20]], flags, suppress=False)
    assert 10 / TIME == pytest.approx(kept.data[0, 0])


def test_gaps_do_not_matter_for_hidden_saturation() -> None:
    """Frames of a group are counted as if there were none between groups."""
    level, _ = saturation.saturation_level(
        np.full((1, 1), 100, np.float32), np.zeros((1, 1), np.uint32), nframes=4
    )
    assert [2.5, 6.5, 10.5] == [level.mean_frame(k) for k in range(3)]


def test_darks_of_later_segments_are_filled() -> None:
    """Averaged MIRI darks have all their planes; a later segment subtracts the last one."""
    dark = np.ones((2, 6, 3, 4), np.float32) * np.array([5, 7], np.float32)[:, None, None, None]
    one, wanted = dark_current.Readout(1, 0), dark_current.Readout(2, 0)
    matched = dark_current.match_dark(dark, one, wanted, 3)
    planes = dark_current.dark_planes(2, 1, first=4)
    out = dark_current.subtract_dark(np.full((1, 3, 3, 4), 10, np.float32), matched, planes)
    np.testing.assert_array_equal(3, out)


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("fewest", "status"), [(3, "COMPLETE"), (11, "SKIPPED")])
def test_the_least_number_of_groups_is_honoured(nircam: Path, fewest: int, status: str) -> None:
    """An exposure of ten groups; too few are no reason for a negative rate of cosmic rays."""
    ramp = JumpStep(minimum_groups=fewest).run(nircam)
    assert status == ramp.meta.cal_step.jump
    rate = ramp.meta.exposure.primary_cosmic_rays
    assert (rate is None) == (status == "SKIPPED")


def test_showers_have_the_amplitude_that_is_asked_for() -> None:
    """In e-/s, times the time of a group."""
    rules = JumpStep(max_shower_amplitude=2.5).shower_rules(group_time=4.0, nframes=1)
    assert 10.0 == rules.most_change


@pytest.mark.parametrize(("asked", "used"), [(10, 11), (11, 11), (1, 1)])
def test_even_windows_are_rounded_up(asked: int, used: int) -> None:
    """The running median at the sides has a middle."""
    assert used == refpix.RefPixStep(side_smoothing_length=asked)._rules().side_smoothing_length


def full_frame(data: Any, fastaxis: int, slowaxis: int) -> Any:
    """A NIRCam ramp as a step sees it."""
    subarray = SimpleNamespace(xstart=1, ystart=1, name="FULL")
    subarray.fastaxis, subarray.slowaxis = fastaxis, slowaxis
    return SimpleNamespace(
        data=np.asarray(data, np.float32)[None, None],
        pixeldq=np.zeros(data.shape, np.uint32),
        zeroframe=None,
        meta=SimpleNamespace(
            subarray=subarray,
            instrument=SimpleNamespace(name="NIRCAM", detector="NRCA1"),
            exposure=SimpleNamespace(noutputs=4),
        ),
    )


@pytest.mark.parametrize(("fastaxis", "slowaxis"), [(-1, 2), (1, -2), (-2, -1)])
@pytest.mark.parametrize("height", [None, 300])
def test_each_output_loses_the_drift_of_its_own_filter(
    monkeypatch: pytest.MonkeyPatch, fastaxis: int, slowaxis: int, height: int | None
) -> None:
    """Filters that pass what is at the sides with a factor for each output, in all orientations."""
    factors = np.array([0.5, 1.0, 1.5, 2.0])
    filters = sirs.Filters(factors[:, None] / 2, factors[:, None] / 2, sigreject=1e9)
    monkeypatch.setattr(refpix.RefPixStep, "_filters", lambda *_: filters)
    rows = 5 * np.sin(np.arange(2048) / 300)
    window = refpix.Window(0, 0, fastaxis, slowaxis, (2048, 2048))
    science = np.empty((2048, 2048))
    turned = window.to_detector(science)
    turned[...] = factors[np.arange(2048) // 512] * rows[:, None]
    turned[:, :4] = turned[:, -4:] = rows[:, None]  # what the filters see
    ramp = full_frame(science, fastaxis, slowaxis)
    step = refpix.RefPixStep(refpix_algorithm="sirs")
    apply(step, ramp, {}, height=height)
    inner = window.to_detector(ramp.data[0, 0])[:, 4:-4]
    level = inner.mean(axis=0)  # that of the rows at the edges was subtracted before
    np.testing.assert_allclose(inner - level, 0, atol=2e-3)
