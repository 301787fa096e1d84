"""Peak memory of whole processes: exposures eight times as long, deep, high or wide take no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from peak_memory import peak_mb

from stpipe import models
from stpipe.demo import plan, write_demo

Once = Callable[[str, Callable[[Path], object]], Path]
BASE = (160, 8, 32, 32)  # integrations, groups, rows, columns: almost a full band of the engine
TIMES = 8
MORE = 1.25
DIRECTIONS = ("integrations", "groups", "rows", "columns")


def grown(axis: int) -> tuple[int, ...]:
    """The shape of an exposure that is larger along an axis."""
    return tuple(TIMES * size if number == axis else size for number, size in enumerate(BASE))


def write_detector(folder: Path) -> None:
    """Two integrations of NIRISS, of the largest window and the most groups, and its references."""
    ngroups, rows, columns = (TIMES * size for size in BASE[1:])
    observation = plan("NIRISS", nints=2, ngroups=ngroups, seed=1)
    window = replace(observation.subarray, xsize=columns, ysize=rows)
    list(write_demo(folder, [replace(observation, subarray=window)]))
    for shape in (BASE, *map(grown, range(4))):
        write_exposure(folder, shape)


def write_exposure(folder: Path, shape: tuple[int, ...]) -> None:
    """A corner of it, again and again."""
    nints, ngroups, rows, columns = shape
    with models.open(next(folder.glob("uncal/*.fits"))) as raw:
        raw.data = np.tile(raw.data[:, :ngroups, :rows, :columns], (nints // 2, 1, 1, 1))
        raw.meta.exposure.nints = raw.meta.exposure.integration_end = nints
        raw.meta.exposure.ngroups = ngroups
        raw.meta.subarray.xsize, raw.meta.subarray.ysize = columns, rows
        raw.save(folder / name_of(shape))


def name_of(shape: tuple[int, ...]) -> str:
    """File name of an exposure."""
    return f"{'x'.join(map(str, shape))}_uncal.fits"


@pytest.fixture(scope="module")
def peak(once: Once) -> Callable[[str, tuple[int, ...]], float]:
    """MB that a step or pipeline takes at most for an exposure of a shape."""
    folder = once("detector", write_detector)

    @cache
    def measured(target: str, shape: tuple[int, ...]) -> float:
        words = ["strun", target, name_of(shape), "--output_dir=out"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRDS_PATH", str(folder / "crds"))
            if shape == BASE:
                peak_mb(words, folder)  # the first time references are selected, which takes more
            return peak_mb(words, folder)

    return measured


@pytest.mark.parametrize("axis", range(4), ids=DIRECTIONS)
def test_pipeline_in_every_direction(
    peak: Callable[[str, tuple[int, ...]], float], axis: int
) -> None:
    """From raw data to rates, in one pass."""
    small = peak("calwebb_detector1", BASE)

    assert peak("calwebb_detector1", grown(axis)) < MORE * small


@pytest.mark.parametrize("target", ["jump", "ramp_fit"])
def test_steps_as_integrations_grow(
    peak: Callable[[str, tuple[int, ...]], float], target: str
) -> None:
    """Those that compare integrations, or add them up, by themselves."""
    small = peak(target, BASE)

    assert peak(target, grown(0)) < MORE * small
