"""The simulator against what it claims to be true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stpipe.demo import Simulation, Truth, simulate
from stpipe.demo.electronics import GROUPS_TO_SKIP
from stpipe.demo.reference_files import Setup, make_reference
from stpipe.models import Level1bModel, dqflags

Array = npt.NDArray[Any]


def references_of(simulation: Simulation) -> Callable[..., Array | None]:
    """The arrays of the demo's own reference models, cut to the exposure; None where N/A."""
    plan = simulation.observation
    setup = Setup(plan.detector, plan.subarray, plan.frames)

    def array(reftype: str, name: str = "data") -> Array | None:
        model = make_reference(reftype, setup)
        if model is None:
            return None
        found = np.asarray(getattr(model, name))
        if reftype not in {"gain", "readnoise"}:
            return found
        y = plan.subarray.ystart - model.meta.subarray.ystart
        x = plan.subarray.xstart - model.meta.subarray.xstart
        return found[y : y + plan.subarray.ysize, x : x + plan.subarray.xsize]

    return array


def calibrate(simulation: Simulation) -> Array:
    """Linear groups in DN, calibrated step by step with plain numpy and the references."""
    plan, array = simulation.observation, references_of(simulation)
    data = simulation.exposure.data.astype(np.float64)
    reference = (simulation.truth.dq & dqflags.REFERENCE_PIXEL) > 0
    data = decouple(data, reference, array("ipc"))
    if plan.detector.is_miri:
        reset = array("reset")[: plan.nints]
        data[:, : reset.shape[1]] -= reset
    else:
        data -= array("superbias")
        data -= drift_of(data, simulation)
    coefficients = array("linearity", "coeffs")
    data = sum(c * data**n for n, c in enumerate(coefficients))
    dark = array("dark").reshape(-1, *plan.subarray.shape)
    step = plan.pattern.nframes + plan.pattern.groupgap
    for group in range(plan.ngroups):
        start = group * step
        data[:, group] -= dark[start : start + plan.pattern.nframes].mean(axis=0)
    return data


def decouple(data: Array, reference: Array, kernel: Array | None) -> Array:
    """Convolve with the IPC kernel; reference pixels take no part, nothing lies outside."""
    if kernel is None:
        return data
    inside = np.pad(np.where(reference, 0, data), [(0, 0), (0, 0), (1, 1), (1, 1)])
    ny, nx = reference.shape
    out = sum(
        kernel[j, i] * inside[..., j : j + ny, i : i + nx] for j in range(3) for i in range(3)
    )
    return np.where(reference, data, out)


def drift_of(data: Array, simulation: Simulation) -> Array:
    """Mean of the good pixels without light in odd and in even detector columns."""
    unlit = simulation.truth.rate == 0
    usable = unlit & ((simulation.truth.dq & ~np.uint32(dqflags.REFERENCE_PIXEL)) == 0)
    along_x = abs(simulation.observation.detector.fastaxis) == 1
    parity = np.indices(unlit.shape)[1 if along_x else 0] % 2
    drift = np.zeros_like(data)
    for odd in (0, 1):
        mean = data[..., usable & (parity == odd)].mean(axis=-1)
        drift += np.where(parity == odd, mean[..., np.newaxis, np.newaxis], 0)
    return drift


def clean_pixels(simulation: Simulation) -> Array:
    """Lit pixels without defect, saturation or hit, in any integration; hot ones included."""
    truth = simulation.truth
    clean = (truth.rate > 0) & ((truth.dq & dqflags.DO_NOT_USE) == 0)
    clean &= (truth.first_saturated == simulation.observation.ngroups).all(axis=0)
    clean[truth.cosmic_rays["y"], truth.cosmic_rays["x"]] = False
    return clean


def test_undoing_every_effect_by_hand_gives_the_true_rate(simulation: Simulation) -> None:
    """The difference of last and first good group is unbiased, and scatters as noise predicts."""
    plan, truth, array = simulation.observation, simulation.truth, references_of(simulation)
    first = max(GROUPS_TO_SKIP) if plan.detector.is_miri else 0
    last = plan.ngroups - (2 if plan.detector.is_miri else 1)
    time = (last - first) * plan.group_time
    data = calibrate(simulation)

    rate = (data[:, last] - data[:, first]).mean(axis=0) / time
    gain, cds = array("gain"), array("readnoise")
    true = truth.rate / (plan.gain_factor or 1)
    variance = (true * time / gain + cds**2 / plan.pattern.nframes) / time**2 / plan.nints
    good = clean_pixels(simulation) & ((truth.dq & dqflags.HOT) == 0)
    pull = ((rate - true) / np.sqrt(variance))[good]

    assert good.mean() > 0.8
    # The reference pixels' own noise moves all pixels of a column parity together.
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.06)


def test_noise_of_dark_pixels_is_that_of_the_reference_file(simulation: Simulation) -> None:
    """The read-noise reference is that of the difference of two single reads, in DN."""
    plan, truth = simulation.observation, simulation.truth
    unlit = (truth.rate == 0) & ((truth.dq & dqflags.DO_NOT_USE) == 0)
    usable = slice(2, -1) if plan.detector.is_miri else slice(None)

    steps = np.diff(calibrate(simulation)[:, usable], axis=1)[..., unlit]
    expected = references_of(simulation)("readnoise")[unlit] / np.sqrt(plan.pattern.nframes)

    # Digits of 1 DN add a twelfth to each of two readings; the mean of some fifty pixels is taken.
    scatter = np.sqrt((steps**2).mean() - 1 / 6)
    assert scatter == pytest.approx(np.sqrt((expected**2).mean()), rel=0.04)


def test_edges_of_nirspec_subarrays_are_dark() -> None:
    """Four columns on each side stand in for the reference pixels that the subarray lacks."""
    truth = simulate("NIRSPEC", ngroups=2).truth

    edges = np.hstack([truth.rate[:, :4], truth.rate[:, -4:]])
    assert not edges.any()
    assert (truth.rate[:, 4:-4] > 0).mean() > 0.99
    assert not (truth.dq & dqflags.REFERENCE_PIXEL).any()


def test_rate_of_hot_pixels_is_true_once_the_dark_is_subtracted(simulation: Simulation) -> None:
    """Hot pixels have forty times the dark; no dark is left in their rates."""
    plan, truth = simulation.observation, simulation.truth
    hot = clean_pixels(simulation) & ((truth.dq & dqflags.HOT) > 0)
    last = plan.ngroups - (2 if plan.detector.is_miri else 1)
    time = (last - 2) * plan.group_time
    data = calibrate(simulation)

    rate = (data[:, last] - data[:, 2]).mean(axis=0) / time
    excess = (rate - truth.rate / (plan.gain_factor or 1))[hot]
    dark = 39 * plan.detector.dark / plan.detector.gain / plan.subarray.frame_time

    assert hot.any()
    assert abs(excess.mean()) < 0.25 * dark


def test_cosmic_rays_are_where_and_when_the_truth_says(simulation: Simulation) -> None:
    """Hits of more than 3000 electrons stand out by their charge in their group."""
    array, hits = references_of(simulation), simulation.truth.cosmic_rays
    hits = hits[hits["electrons"] > 3000]
    steps = np.diff(calibrate(simulation), axis=1) * array("gain")
    saturated = simulation.truth.first_saturated[hits["integration"], hits["y"], hits["x"]]
    hits = hits[saturated > hits["group"] + 1]
    at = hits["integration"], slice(None), hits["y"], hits["x"]

    jump = steps[at][np.arange(hits.size), hits["group"] - 1] - np.median(steps[at], axis=1)

    assert hits.size > 3
    np.testing.assert_allclose(hits["electrons"], jump, rtol=0.1, atol=300)


def test_saturated_pixels_stay_saturated(simulation: Simulation) -> None:
    """From the first saturated group on, the numbers are at or above the reference's level."""
    truth, data = simulation.truth, simulation.exposure.data
    level = references_of(simulation)("saturation")
    reference = (truth.dq & dqflags.REFERENCE_PIXEL) > 0
    groups = np.arange(data.shape[1])[:, np.newaxis, np.newaxis]
    expected = groups >= truth.first_saturated[:, np.newaxis]

    assert expected.any()
    np.testing.assert_array_equal(expected, (data >= level) & ~reference)


def test_zeroframe_is_the_first_frame_of_nircam_exposures() -> None:
    """With one frame in a group it is the first group; with more it has seen less light."""
    fast = simulate("NIRCAM", ngroups=2, seed=5).exposure
    slow = simulate("NIRCAM", readpatt="SHALLOW4", ngroups=2, seed=5).exposure

    np.testing.assert_array_equal(fast.data[:, 0], fast.zeroframe)
    assert slow.zeroframe.astype(float).mean() < slow.data[:, 0].mean() - 50
    assert not simulate("NIRISS", ngroups=2).exposure.has("zeroframe")


def test_same_seed_same_exposure() -> None:
    """A seed decides everything; another seed gives another exposure of other stars."""
    first, again, other = (simulate("MIRI", ngroups=5, seed=seed) for seed in (8, 8, 9))

    np.testing.assert_array_equal(first.exposure.data, again.exposure.data)
    np.testing.assert_array_equal(first.truth.rate, again.truth.rate)
    np.testing.assert_array_equal(first.truth.cosmic_rays, again.truth.cosmic_rays)
    assert (first.exposure.data != other.exposure.data).mean() > 0.9


def test_options_choose_the_readout() -> None:
    exposure = simulate("nirspec", subarray="sub32", readpatt="NRS", nints=2, ngroups=3).exposure

    assert (2, 3, 32, 32) == exposure.shape
    assert np.uint16 == exposure.data.dtype
    assert "SUB32" == exposure.meta.subarray.name
    assert 4 == exposure.meta.exposure.nframes
    assert 4 * exposure.meta.exposure.frame_time == exposure.meta.exposure.group_time


def test_exposures_open_as_what_they_are(simulation: Simulation, demo_folder: Path) -> None:
    """The file holds what memory held: arrays, header and tables."""
    path = demo_folder / "uncal" / f"{simulation.observation.root}_uncal.fits"

    with Level1bModel(path) as model:
        np.testing.assert_array_equal(simulation.exposure.data, model.data)
        np.testing.assert_array_equal(simulation.exposure.int_times, model.int_times)
        assert simulation.observation.nints * simulation.observation.ngroups == len(model.group)
        assert path.name == model.meta.filename
        assert "Level1bModel" == model.meta.model_type
        assert simulation.observation.detector.name == model.meta.instrument.detector
        times = model.meta.exposure
        assert times.start_time < times.mid_time < times.end_time


def test_truth_survives_the_file(simulation: Simulation, demo_folder: Path) -> None:
    path = demo_folder / "truth" / f"{simulation.observation.root}_truth.fits"

    loaded = Truth.load(path)

    for name, expected in vars(simulation.truth).items():
        np.testing.assert_array_equal(expected, getattr(loaded, name), err_msg=name)
