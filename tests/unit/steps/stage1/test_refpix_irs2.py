"""IRS2 readouts: where science pixels are, when samples are read, noise that outputs share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import ReferenceMissing, Skip
from stpipe.models import dqflags
from stpipe.references.opened import References
from stpipe.science.ramps.irs2_frames import Interleaving
from stpipe.steps.stage1.ipc import step as ipc
from stpipe.steps.stage1.refpix import irs2
from stpipe.steps.stage1.refpix import step as refpix
from stpipe.steps.stage1.saturation import step as saturation

ROWS, SIZE = 3200, 2048


def test_every_sample_has_its_time() -> None:
    """712 times of a row: one more for each step out and back, and a pause."""
    sequence = irs2.ReadSequence(Interleaving())
    assert 712 == sequence.row
    gaps = np.flatnonzero(np.diff(sequence.samples) > 1)
    assert (np.diff(sequence.samples)[gaps] == 2).all()
    assert 64 == len(gaps)
    targets, sources = sequence.spread
    assert set(sources) <= set(sequence.samples)
    assert len(set(targets)) == len(targets) == 8 * 32
    assert np.abs(targets - sources).max() <= 4


def flat(output: float, reference: float) -> irs2.Weights:
    """The same weights at all frequencies."""
    shape = (4, 712 * SIZE // 2 + 1)
    return irs2.Weights(
        np.full(shape, output, np.complex64), np.full(shape, reference, np.complex64)
    )


@pytest.fixture(scope="module")
def noisy() -> Any:
    """Two groups of slow noise that all outputs share, in the frame of the detector."""
    rng = np.random.default_rng(3)
    layout = Interleaving()
    sequence = irs2.ReadSequence(layout)
    times = rng.normal(0, 1, (2, SIZE * sequence.row // 64 + 1)).cumsum(axis=1)
    at = np.arange(SIZE * sequence.row) / 64
    slow = np.stack([np.interp(at, np.arange(times.shape[1]), t) for t in times])
    shared = slow.reshape(2, SIZE, sequence.row)[..., sequence.samples]
    outputs = [shared[..., :: 1 if n % 2 else -1] for n in range(5)]
    return np.concatenate(outputs, axis=-1).astype(np.float32) + np.float32(500)


def test_the_reference_output_takes_shared_noise_away(noisy: Any) -> None:
    """With its weight 1, what all outputs see at the same time is gone; the mean stays."""
    layout = Interleaving()
    clean = irs2.subtract_reference(noisy, flat(1, 0), layout)
    same = irs2.subtract_reference(noisy, flat(0, 0), layout)
    assert (2, SIZE, SIZE) == clean.shape
    noise = same - same.mean(axis=0)
    assert (clean - clean.mean(axis=0)).std() < 0.05 * noise.std() > 0.5
    np.testing.assert_allclose(clean.mean(axis=0), same.mean(axis=0), rtol=1e-5)


def test_reference_pixels_take_shared_noise_away(noisy: Any) -> None:
    """Read between science pixels they see the same, times how rarely they are read."""
    layout = Interleaving()
    sequence = irs2.ReadSequence(layout)
    share = len(sequence.spread[0]) / sequence.row
    weights = flat(0, 0)
    low = np.arange(weights.reference.shape[1]) < 8000
    weights.reference[:, low] = 1 / share
    clean = irs2.subtract_reference(noisy, weights, layout)
    same = irs2.subtract_reference(noisy, flat(0, 0), layout)
    noise = (same - same.mean(axis=0)).std()
    assert (clean - clean.mean(axis=0)).std() < 0.2 * noise


def test_weights_of_another_readout_are_refused() -> None:
    """The table has one row for the real and one for the imaginary part of each frequency."""
    table = np.zeros(10, dtype=[(f"{n}_{i}", "f4") for n in ("alpha", "beta") for i in range(4)])
    with pytest.raises(ReferenceMissing, match="10 rows, allowed: 2916352"):
        irs2.Weights.of(table, irs2.ReadSequence(Interleaving()))


def test_bad_samples_are_replaced_by_their_neighbours_in_time() -> None:
    """Mean of the periods around, the one that is good, a sample beside, or 0."""
    layout = Interleaving()
    data = np.arange(ROWS, dtype=np.float32)[None].copy()
    bad = np.zeros(ROWS, dtype=bool)
    wanted = np.array([640 + 28, 640 + 8, 640 + 129, 1280 + 8, 1280 + 28])
    bad[[*wanted, 640 + 109, 640 + 149, 1280 + 10]] = True
    irs2.replace_bad_samples(data, bad, wanted, layout)
    assert data[0, 640 + 28] == 640 + 48  # before it is bad
    assert data[0, 640 + 8] == 640 + 10  # after it is bad: a sample beside
    assert data[0, 640 + 129] == 640 + 131
    assert data[0, 1280 + 8] == 0
    assert data[0, 1280 + 28] == 1280 + 48


def test_samples_unlike_the_others_are_found() -> None:
    """A noisy pair, a high pair, and a pair that differs; known ones stay."""
    rng = np.random.default_rng(1)
    data = rng.normal(100, 3, (2, ROWS, 64)).astype(np.float32)
    data[:, 640 + 8 : 640 + 10] += 200
    data[:, 1280 + 31] += 50
    known = np.zeros(ROWS, dtype=bool)
    known[5] = True
    bad = irs2.find_bad_samples(data, known, Interleaving(), 5.0)
    assert {5, 648, 649, 1310, 1311} == set(np.flatnonzero(bad))


@pytest.mark.parametrize(("parity", "expected"), [(1, [650, 651]), (2, [648, 649])])
def test_samples_that_the_reference_file_lists(parity: int, expected: list[int]) -> None:
    """Bit 0 is the first place where an output steps out; even outputs are read backwards."""
    row = np.array([(2, parity, 1)], dtype=[("OUTPUT", "u2"), ("ODD_EVEN", "u2"), ("MASK", "u4")])
    found = irs2.listed_as_bad(row[0], Interleaving())
    assert [n + 640 for n in expected] == found.tolist()


def test_without_weights_the_step_is_left_out(tmp_path: Any) -> None:
    """N/A leaves the frame as it is, and says why."""
    del tmp_path
    step = refpix.RefPixStep()
    ramp = SimpleNamespace(shape=(1, 1, ROWS, SIZE))
    step.references = References({}, ramp)  # type: ignore[arg-type]
    with pytest.raises(Skip, match="no refpix reference"):
        step.process(ramp)


@pytest.mark.parametrize("flipped", [False, True])
def test_science_pixels_couple_as_they_lie_on_the_detector(flipped: bool) -> None:
    """IPC and saturation reach from the pixel before reference samples to the one behind them."""
    rows = np.flatnonzero(Interleaving(flipped=flipped).science_rows)
    before = int(np.flatnonzero(np.diff(rows) > 1)[200 // 16])
    ramp = models.RampModel()
    data = np.full((1, 1, ROWS, SIZE), 10, np.float32)
    data[0, 0, rows[before], 1000] = 60000
    ramp.data, ramp.groupdq = data, np.zeros(data.shape, np.uint8)
    ramp.pixeldq = np.zeros((ROWS, SIZE), np.uint32)
    ramp.meta.instrument.name = "NIRSPEC"
    ramp.meta.instrument.detector = "NRS2" if flipped else "NRS1"
    ramp.meta.exposure.nframes = 1
    ramp.meta.subarray.xstart = ramp.meta.subarray.ystart = 1
    kernel = np.array([[0, 0.1, 0], [0, 0.8, 0], [0, 0.1, 0]], np.float32)
    level = np.full((SIZE, SIZE), 50000, np.float32)
    threshold = SimpleNamespace(data=level, dq=np.zeros((SIZE, SIZE), np.uint32))

    saturation.SaturationStep().correct(ramp, {"saturation": threshold})  # type: ignore[dict-item]
    ipc.IPCStep().correct(ramp, {"ipc": SimpleNamespace(data=kernel)})  # type: ignore[dict-item]

    touched = rows[before - 1 : before + 2]
    flagged = (ramp.groupdq[0, 0] & dqflags.SATURATED) != 0
    assert set(touched) == set(np.flatnonzero(flagged.any(axis=1)))
    np.testing.assert_allclose(ramp.data[0, 0, touched, 1000], [6009, 48002, 6009])
    others = np.setdiff1d(np.arange(ROWS), rows)
    np.testing.assert_array_equal(data[..., others, :], ramp.data[..., others, :])
