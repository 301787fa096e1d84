"""Pixels that stand out in all exposures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.bad_pixels import running_median
from stpipe.steps.stage2.badpix_selfcal import BadpixSelfcalStep

HOT = [(3, 5), (20, 30), (33, 1)]


@pytest.mark.parametrize("window", [(1, 5), (5, 1), (3, 3)])
def test_running_medians(window: tuple[int, int]) -> None:
    """Those of numpy, zeros beyond the edges; NaN does not count and remains where all is NaN."""
    image = np.random.default_rng(1).normal(5, 1, (40, 50)).astype(np.float32)
    image[10:14, 20:27] = np.nan
    rows, columns = (size // 2 for size in window)
    padded = np.pad(image, [(rows, rows), (columns, columns)])
    found = running_median(image, window)
    for y, x in ((0, 0), (39, 49), (20, 25), (12, 19), (12, 23), (9, 22)):
        around = padded[y : y + window[0], x : x + window[1]]
        expected = np.nan if np.isnan(around).all() else np.nanmedian(around)
        np.testing.assert_array_equal(np.float32(expected), found[y, x])


def rate(seed: int, source: tuple[int, int], shape: tuple[int, int] = (40, 50)) -> Any:
    """Noise, bad pixels that stay, and a line that is at one place in this exposure alone."""
    image = models.IFUImageModel()
    image.data = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    image.dq, image.err = np.zeros(shape, np.uint32), np.ones(shape, np.float32)
    for place in HOT:
        image.data[place] += 100
    image.data[source] += 100
    values = {"exposure.type": "NRS_IFU", "instrument.detector": "NRS1"}
    for name, value in {**values, "wcsinfo.dispersion_direction": 1}.items():
        image.set(f"meta.{name}", value)
    return image


def test_what_stays_is_bad_and_what_moves_is_not(tmp_path: Path) -> None:
    """With another exposure lines of the sky survive; alone they do not."""
    other = str(rate(2, (8, 8)).save(tmp_path / "other_rate.fits"))
    exposure = rate(1, (25, 25))
    shares = {"flagfrac_lower": 0.0, "flagfrac_upper": 3 / 2000}
    found = BadpixSelfcalStep(selfcal_list=[other], **shares).run(exposure)

    bits = dqflags.DO_NOT_USE | dqflags.OTHER_BAD_PIXEL
    assert sorted(HOT) == [(int(y), int(x)) for y, x in np.argwhere(found.dq == bits)]
    np.testing.assert_array_equal(np.isnan(found.data), found.dq != 0)
    np.testing.assert_array_equal(np.isnan(found.err), found.dq != 0)
    shares["flagfrac_upper"] = 4 / 2000
    alone = BadpixSelfcalStep(force_single=True, **shares).run(exposure)
    assert alone.dq[25, 25]
    assert "SKIPPED" == BadpixSelfcalStep().run(exposure).meta.cal_step.badpix_selfcal


def test_exposures_of_other_pixels_are_refused(tmp_path: Path) -> None:
    """With the file and both shapes."""
    other = rate(2, (8, 8), (40, 51)).save(tmp_path / "other_rate.fits")
    with pytest.raises(InputError, match=r"other_rate.fits is of shape \(40, 51\), allowed"):
        BadpixSelfcalStep(bkg_list=[str(other)]).run(rate(1, (25, 25)))
