"""Memory of steps of many exposures and of many sources: eight times as many take no more."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fields import Exposure, associate, image
from peak_memory import peak_mb

from stpipe.science.mosaics.drizzle import Window
from stpipe.science.sources.star_finder import StarFinder
from stpipe.steps.stage3.outlier_detection.median import Layer, median_of

MORE = 1.25
SIZE = 512  # of a mosaic, pixels


def traced(action: Callable[[], object]) -> int:
    """Bytes that an action allocates at most, the second time: the first one imports."""
    action()
    tracemalloc.start()
    action()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_mosaic_of_many_members(tmp_path: Path) -> None:
    """The whole process, of two exposures that are there several times."""
    associate(tmp_path, [Exposure(1, stars=4), Exposure(2, east=0.4, stars=4)], seed=1)
    first, second = sorted(tmp_path.glob("*_cal.fits"))
    paths = [first, second]
    for number in range(14):
        paths.append(tmp_path / f"m{number:02}_cal.fits")
        shutil.copy(paths[number % 2], paths[-1])

    few, many = (
        peak_mb(["strun", "resample", *paths[:count], f"--output_file=m{count}.fits"], tmp_path)
        for count in (2, 16)
    )

    assert many < MORE * few


def test_median_of_many_exposures(tmp_path: Path) -> None:
    """Rows of all of them are in memory, fewer of more; each pixel's median is what it is."""
    planes = np.random.default_rng(2).normal(size=(32, SIZE, SIZE)).astype(np.float32)
    window = Window(slice(0, SIZE), slice(0, SIZE))
    layers = [Layer(tmp_path / f"{number}.npy", window) for number in range(len(planes))]
    for layer, plane in zip(layers, planes, strict=True):
        plane.tofile(layer.path)

    few, many = (traced(lambda n=n: median_of(layers[:n], (SIZE, SIZE))) for n in (4, 32))

    np.testing.assert_array_equal(np.median(planes, axis=0), median_of(layers, (SIZE, SIZE)))
    assert many < MORE * few


def test_stars_take_no_more_than_their_image() -> None:
    """Each is looked at by itself."""
    finder = StarFinder(snr_threshold=10, kernel_fwhm=2.6, bkg_boxsize=80)
    found, peaks = [], []
    for count in (8, 64):
        field = image(Exposure(1, stars=count), np.random.default_rng(5))
        data, dq = field.data, field.dq
        found.append(len(finder.find(data, dq)))
        peaks.append(traced(lambda data=data, dq=dq: finder.find(data, dq)))

    assert found[1] > 5 * found[0] > 0
    assert peaks[1] < MORE * peaks[0]
