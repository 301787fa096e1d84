"""Chains of corrections: bands, threads and laziness change nothing but time and memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import Pipeline, RampStep, models
from stpipe.engine import band, chain
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.steps.stage1.dq_init import DQInitStep
from stpipe.steps.stage1.jump.step import JumpStep
from stpipe.steps.stage1.saturation.step import SaturationStep

pytestmark = pytest.mark.usefixtures("crds")


def rates(exposure: Path, threads: int = 1) -> list[Any]:
    pipeline = Detector1Pipeline()
    pipeline.use(threads=threads)
    return list(pipeline.run(exposure))


@pytest.fixture(params=["nrca1", "nis", "nrs1", "mirimage"])
def exposure(request: pytest.FixtureRequest, demo_folder: Path) -> Path:
    return next(demo_folder.glob(f"uncal/*_{request.param}_uncal.fits"))


@pytest.mark.parametrize(("bytes_", "threads"), [(1, 1), (200_000, 1), (50_000, 3), (10**9, 1)])
def test_bands_and_threads_give_the_same_pixels(
    exposure: Path, monkeypatch: pytest.MonkeyPatch, bytes_: int, threads: int
) -> None:
    """From single rows to the whole frame."""
    expected = rates(exposure)
    monkeypatch.setattr(chain, "BAND_BYTES", bytes_)
    monkeypatch.setattr(chain, "BLOCK_BYTES", bytes_)
    monkeypatch.setattr(band, "STRIP_BYTES", 2 * bytes_)

    actual = rates(exposure, threads)

    for one, other in zip(expected, actual, strict=True):
        assert_same(one, other)


MADE = ("provenance", "meta.date", "meta.filename")
LONG = [
    {"jump": {"minimum_sigclip_groups": 2}},
    {"jump": {"minimum_sigclip_groups": 2, "only_use_ints": False}},
    {
        "jump": {
            "after_jump_flag_dn1": 1.0,
            "after_jump_flag_time1": 1.0,
            "rejection_threshold": 3.0,
        }
    },
    {"ramp_fit": {"save_opt": True, "suppress_one_group": False}},
    {"ramp_fit": {"algorithm": "LIKELY", "save_opt": True}},
    {"charge_migration": {"skip": False, "signal_threshold": 14_000.0}},
    {"persistence": {"skip": False, "persistence_time": 2, "persistence_dnu": True}},
    {"jump": {"skip": True}},
]


@pytest.mark.parametrize(
    ("detector", "bytes_", "steps"),
    [*(("nis", 500_000, steps) for steps in LONG), ("mirimage", 300_000, LONG[-2])],
)
def test_long_exposures_give_the_same_pixels(
    demo_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detector: str,
    bytes_: int,
    steps: dict[str, Any],
) -> None:
    """Some integrations at a time, whatever steps compare, remember or count."""
    path = str(next(demo_folder.glob(f"uncal/*_{detector}_uncal.fits")))
    Detector1Pipeline.call(path, steps=steps, save_results=True, output_dir=str(tmp_path / "whole"))
    monkeypatch.setattr(chain, "BAND_BYTES", 100_000)
    monkeypatch.setattr(chain, "BLOCK_BYTES", bytes_)
    with models.RampModel(path) as ramp:
        assert 2 == len(chain.Chain(ramp).spans())
    Detector1Pipeline.call(path, steps=steps, save_results=True, output_dir=str(tmp_path / "long"))

    products = sorted(tmp_path.glob("whole/*.fits"))
    assert (3 if "ramp_fit" in steps else 2) == len(products)
    for product in products:
        assert_same(models.open(product), models.open(tmp_path / "long" / product.name))


def assert_same(one: Any, other: Any) -> None:
    """Two products have the same pixels and keywords, less when and how they were made."""
    for name in one.shapes:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    left, right = one.to_flat_dict(), other.to_flat_dict()
    assert {k: v for k, v in left.items() if not k.startswith(MADE)} == {
        k: v for k, v in right.items() if not k.startswith(MADE)
    }


class Look(Pipeline):
    """Touches pixels between steps, which makes the chain run there."""

    step_defs = {"dq": DQInitStep, "saturation": SaturationStep, "jump": JumpStep}

    def process(self, ramp: Any) -> Any:
        ramp = self.dq(ramp)
        assert (ramp.pixeldq != 0).any()
        ramp = self.saturation(ramp)
        ramp.data = ramp.data * 2
        return self.jump(ramp)


class Plain(Look):
    def process(self, ramp: Any) -> Any:
        return self.jump(self.saturation(self.dq(ramp)))


def test_pixels_can_be_touched_and_assigned_between_steps(exposure: Path) -> None:
    """What somebody looks at is what the steps before made, and what is assigned counts."""
    with models.RampModel(exposure) as raw:
        doubled = Look().run(raw)
        assert ((doubled.data == 2 * raw.data) | np.isnan(doubled.data)).all()
        plain = Plain().run(raw)
    assert (doubled.pixeldq == plain.pixeldq).all()
    assert plain.meta.exposure.primary_cosmic_rays is not None


class Double(RampStep):
    """A user's step without halo: it is given the whole exposure."""

    def correct(self, ramp: Any, references: Any) -> None:
        del references
        ramp.data = ramp.data - np.median(ramp.data)


def test_a_step_without_halo_sees_the_whole_exposure(exposure: Path) -> None:
    class Own(Pipeline):
        step_defs = {"dq": DQInitStep, "double": Double, "jump": JumpStep}

        def process(self, ramp: Any) -> Any:
            return self.jump(self.double(self.dq(ramp)))

    with models.RampModel(exposure) as raw:
        expected = raw.data - np.median(raw.data)
    np.testing.assert_array_equal(expected, Own().run(exposure).data)


def test_two_branches_do_not_disturb_each_other(exposure: Path) -> None:
    """Two steps on the same ramp each go on from what it was."""
    captured = {}

    class Fork(Pipeline):
        step_defs = {"dq": DQInitStep, "saturation": SaturationStep, "jump": JumpStep}

        def process(self, ramp: Any) -> Any:
            ramp = self.dq(ramp)
            saturated, jumped = self.saturation(ramp), self.jump(ramp)
            captured["jumped"] = jumped.groupdq
            return saturated

    class Alone(Fork):
        def process(self, ramp: Any) -> Any:
            return self.jump(self.dq(ramp))

    saturated = Fork().run(exposure)
    assert not (saturated.groupdq & 4).any()
    np.testing.assert_array_equal(Alone().run(exposure).groupdq, captured["jumped"])


def test_memory_does_not_grow_with_integrations(tmp_path: Path) -> None:
    """Four times the exposure needs no more: bands get flatter."""
    peaks = []
    for nints in (4, 16):
        ramp = models.Level1bModel()
        ramp.data = np.zeros((nints, 5, 512, 512), np.uint16)
        ramp.meta.instrument.name = "NIRCAM"
        path = ramp.save(tmp_path / f"x{nints}_uncal.fits")
        whole = chain.Chain(models.RampModel(path))
        tracemalloc.start()
        for _ in whole.map(lambda band: band.data.sum()):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


class Count(RampStep):
    """A user's step that counts saturated samples, and pixels with any."""

    halo = 0

    def correct(self, ramp: Any, references: Any) -> None:
        del references
        bright = ramp.data > 14_000
        ramp.count("samples", bright)
        ramp.count("pixels", bright.any(axis=(0, 1)))

    def finish(self, meta: Any, totals: Any, known: Any) -> None:
        del known
        meta.target.proposer_name = f"{totals['samples']} of {totals['pixels']}"


def test_samples_add_up_and_pixels_count_once(
    demo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In however many blocks of integrations they are found."""
    path = next(demo_folder.glob("uncal/*_nis_uncal.fits"))
    with models.RampModel(path) as raw:
        bright = raw.data > 14_000
    monkeypatch.setattr(chain, "BAND_BYTES", 100_000)
    monkeypatch.setattr(chain, "BLOCK_BYTES", 500_000)

    counted = Count().run(path)
    chain.compute(counted)

    expected = f"{bright.sum()} of {bright.any(axis=(0, 1)).sum()}"
    assert expected == counted.meta.target.proposer_name
