"""Interference of MIRI: planted waves are found and subtracted; who is skipped and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest

from stpipe import models
from stpipe.errors import ReferenceMissing
from stpipe.references.selection import Reference
from stpipe.steps.stage1 import emicorr

CLOCKS = emicorr.Clocks(row=28, frame=8512, samples=1, resets=True)
SHAPE = (2, 12, 64, 72)
GRID = np.arange(64) / 64
WAVE = emicorr.Wave(390.0, np.sin(2 * np.pi * GRID) + 0.4 * np.cos(4 * np.pi * GRID))
META: dict[str, Any] = {
    "meta.instrument.name": "MIRI",
    "meta.exposure.readpatt": "FASTR1",
    "meta.exposure.ngroups": 12,
}


def disturbed(amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Straight ramps with noise of 1 DN, and the same with a wave, shifted by a third of a period."""
    rng = np.random.default_rng(0)
    slope = rng.exponential(20, SHAPE[2:]) * np.arange(SHAPE[1])[:, None, None]
    clean = (5000 + slope + rng.normal(0, 1, SHAPE)).astype(np.float32)
    rows, quads = np.mgrid[:64, :18]
    frames = 12 * (64 * 28 + 960 * 7) + 8512, 64 * 28 + 960 * 7
    starts = np.add.outer(np.arange(2) * frames[0], np.arange(12) * frames[1])
    times = starts[..., None, None] + rows * 28 + quads
    wave = np.interp((times / WAVE.period + 1 / 3) % 1, [*GRID, 1], [*WAVE.shape, WAVE.shape[0]])
    return clean, (clean + np.repeat(amplitude * wave, 4, axis=-1)).astype(np.float32)


@pytest.mark.parametrize("separately", [True, False])
def test_joint_fit_subtracts_a_known_wave(separately: bool) -> None:
    """Whatever its phase and amplitude; what is left is a small part of it."""
    clean, data = disturbed(10)
    pixeldq = np.zeros(SHAPE[2:], np.uint32)
    out = emicorr.fit_jointly(data, pixeldq, WAVE, CLOCKS, fit_ints_separately=separately)
    assert np.std(data - clean) > 5
    assert np.std(out - clean) < 0.6
    quiet = emicorr.fit_jointly(clean, pixeldq, WAVE, CLOCKS, fit_ints_separately=separately)
    assert np.std(quiet - clean) < 0.1


@pytest.mark.parametrize("known", [True, False])
def test_sequential_fit_subtracts_the_wave_of_residuals(known: bool) -> None:
    """With the shape of the wave or without it."""
    clean, data = disturbed(10)
    wave = WAVE if known else emicorr.Wave(WAVE.frequency)
    search = emicorr.WaveSearch(nints_to_phase=2, nbins=64, scale_reference=True)
    out = emicorr.fit_sequentially(data, wave, CLOCKS, search)
    assert np.std(out - clean) < 1.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"meta.instrument.name": "NIRCAM"}, "only MIRI"),
        ({"meta.exposure.readpatt": "DEEP8"}, "read pattern is DEEP8"),
        ({"meta.exposure.ngroups": 2}, "2 groups"),
        ({}, "N/A"),
    ],
)
def test_exposures_without_correction_say_why(changes: dict[str, Any], reason: str) -> None:
    """Instrument, read pattern, groups, reference."""
    selected = {"emicorr": Reference("emicorr", None)}
    assert reason in emicorr.EmiCorrStep().not_needed(META | changes, selected)


def test_frequencies_of_the_user_need_no_reference() -> None:
    """The step runs where CRDS has nothing."""
    step = emicorr.EmiCorrStep(onthefly_corr_freq=[390.625])
    assert not step.not_needed(META, {"emicorr": Reference("emicorr", None)})


def test_waves_of_a_subarray_and_detector(tmp_path: Path) -> None:
    """The slow readout has frequencies for each detector; what is not listed has none."""
    path = tmp_path / "emi.asdf"
    freqs = {"FAST": ["a"], "SLOW": {"MIRIMAGE": ["a", "b"]}}
    cases = {"SUB64": {"rowclocks": 28, "frameclocks": 8512, "freqs": freqs}}
    found = {n: {"frequency": f, "phase_amplitudes": [0, 1]} for n, f in (("a", 1.0), ("b", 2.0))}
    asdf.AsdfFile({"subarray_cases": cases, "frequencies": found}).write_to(path)
    clocks, waves = emicorr.waves_of(path, "SUB64", "SLOW", "MIRIMAGE")
    assert ((28, 8512), [1.0, 2.0]) == (clocks, [w.frequency for w in waves])
    assert not emicorr.waves_of(path, "SUB64", "SLOW", "MIRIFULONG")[1]
    assert (None, []) == emicorr.waves_of(path, "FULL_FAST", "FAST", "MIRIMAGE")
    path.write_text("not ASDF")
    with pytest.raises(ReferenceMissing, match="no emicorr reference"):
        emicorr.waves_of(path, "SUB64", "FAST", "MIRIMAGE")


@pytest.mark.usefixtures("crds")
def test_the_step_runs_on_an_exposure(demo_folder: Path) -> None:
    """From header to product, with frequencies of the user; other subarrays are skipped."""
    source = next(demo_folder.glob("uncal/*00001_mirimage_uncal.fits"))
    with models.RampModel(source) as ramp:
        ramp.meta.subarray.name = "SUB64"
        step = emicorr.EmiCorrStep(onthefly_corr_freq=[390.625], nbins=16)
        product = step.run(ramp)
        assert "COMPLETE" == product.meta.cal_step.emicorr
        assert 0 < np.abs(product.data - ramp.data).max() < np.ptp(ramp.data)
        ramp.meta.subarray.name = "SUB8"
        skipped = step.run(ramp)
        assert "SUB8" in skipped.provenance[-1]["reason"]
