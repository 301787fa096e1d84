"""Peak memory of whole processes: exposures eight times as long, deep, high or wide take no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peak_memory import peak_mb

from stpipe import models
from stpipe.demo import plan, write_demo

Once = Callable[[str, Callable[[Path], object]], Path]
BASE = (160, 8, 32, 32)  # integrations, groups, rows, columns: a full band of the engine
MORE = 1.25
DIRECTIONS = ("integrations", "groups", "rows", "columns")


def grown(axis: int) -> tuple[int, ...]:
    """The shape of an exposure that is eight times as large along an axis."""
    return tuple(8 * size if number == axis else size for number, size in enumerate(BASE))


def write_exposure(folder: Path, shape: tuple[int, ...]) -> None:
    """A raw exposure of NIRISS of that shape, of two simulated integrations, and its references."""
    nints, ngroups, rows, columns = shape
    observation = plan("NIRISS", nints=2, ngroups=ngroups, seed=1)
    window = replace(observation.subarray, xsize=columns, ysize=rows)
    list(write_demo(folder, [replace(observation, subarray=window)]))
    (path,) = folder.glob("uncal/*.fits")
    with models.open(path) as raw:
        raw.data = np.tile(raw.data, (nints // 2, 1, 1, 1))
        raw.meta.exposure.nints = raw.meta.exposure.integration_end = nints
        raw.save(folder / "x_uncal.fits")


def peak(once: Once, shape: tuple[int, ...], target: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """MB that a step or pipeline takes at most for an exposure of that shape."""
    name = "x".join(map(str, shape))
    folder = once(f"ramp-{name}", lambda folder: write_exposure(folder, shape))
    monkeypatch.setenv("CRDS_PATH", str(folder / "crds"))
    return peak_mb(["strun", target, folder / "x_uncal.fits", "--output_dir=out"], folder)


@pytest.fixture(scope="module")
def peaks() -> dict[str, float]:
    """What the small exposure takes, by target."""
    return {}


@pytest.mark.parametrize("axis", range(4), ids=DIRECTIONS)
def test_pipeline_in_every_direction(
    once: Once, monkeypatch: pytest.MonkeyPatch, peaks: dict[str, float], axis: int
) -> None:
    """From raw data to rates."""
    if "calwebb_detector1" not in peaks:
        peaks["calwebb_detector1"] = peak(once, BASE, "calwebb_detector1", monkeypatch)

    more = peak(once, grown(axis), "calwebb_detector1", monkeypatch)

    assert more < MORE * peaks["calwebb_detector1"]
