"""Coordinates that follow a target: where it is on average, and what is left as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest
import stars_in_slits
from hypothesis import given
from hypothesis import strategies as st

from stpipe.errors import InputError
from stpipe.pipelines.spec3 import Spec3Pipeline
from stpipe.science.wcs.moving_target import FRAME, mean_place
from stpipe.steps.stage3.assign_mtwcs import AssignMTWcsStep
from stpipe.steps.stage3.exp_to_source import ExpToSourceStep
from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep

WAYS = (0.0, 0.02, 0.05)  # of the target since the first exposure, in degrees of both coordinates


@given(st.floats(0, 359.9), st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=6))
def test_the_mean_of_close_places(ra: float, beside: list[float]) -> None:
    """Also on both sides of 0 h."""
    found, dec = mean_place([((ra + away) % 360, away) for away in beside])
    off = (found - ra - np.mean(beside) + 180) % 360 - 180
    assert abs(off) < 1e-9
    assert 0 <= found <= 360
    assert pytest.approx(np.mean(beside), abs=1e-12) == dec


def moving(*, told: bool = True) -> list[Any]:
    """Exposures of slits that the telescope moved with its target."""
    made = dithered_slits.exposures()
    for exposure, way in zip(made, WAYS, strict=True):
        exposure.meta.target.type = "MOVING"
        for slit in exposure.slits:
            slit.meta.wcs = dithered_slits.carried(slit.meta.wcs, way)
            if told:
                slit.meta.wcsinfo.mt_ra, slit.meta.wcsinfo.mt_dec = 80 + way, -5 + way
    return made


def test_a_target_that_moves_is_as_sharp_as_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pixels in the rectified slit, at the mean place."""
    monkeypatch.delenv("CRDS_PATH", raising=False)
    aperture = stars_in_slits.extract1d(tmp_path / "extract1d.json", use_source_posn=False)
    extraction = {"override_extract1d": str(aperture), "apply_apcorr": False}
    pipeline = Spec3Pipeline(steps={"extract_1d": extraction})
    still = pipeline.run(dithered_slits.write(tmp_path)).rectified[0]
    found = pipeline.run(dithered_slits.write(tmp_path, moving())).rectified[0]

    assert "COMPLETE" == found.meta.cal_step.assign_mtwcs
    assert still.shape == found.shape
    # The projection is about another declination.
    np.testing.assert_allclose(still.data, found.data, rtol=1e-3, atol=2e-2)
    mean = np.mean(WAYS)
    ra, dec, _ = np.subtract(found.meta.wcs(30, 13), still.meta.wcs(30, 13))
    assert (pytest.approx(mean, abs=1e-6), pytest.approx(mean, abs=1e-6)) == (ra, dec)


def test_what_does_not_tell_where_the_target_was_is_left_alone(tmp_path: Path) -> None:
    """And is not compared, as it is not aligned."""
    library = AssignMTWcsStep().run(dithered_slits.write(tmp_path, moving(told=False)))
    with library[0] as exposure:
        assert "SKIPPED" == exposure.meta.cal_step.assign_mtwcs
        assert "MT_RA" in exposure.provenance[-1]["reason"]
        assert FRAME != exposure.slits[0].meta.wcs.output_frame.name
    source = ExpToSourceStep().run(library)[0]
    with pytest.raises(InputError, match=r"do not follow it\. Run assign_mtwcs first"):
        OutlierDetectionStep().run(source)


def test_a_target_that_does_not_move_needs_no_frame(tmp_path: Path) -> None:
    with AssignMTWcsStep().run(dithered_slits.write(tmp_path))[0] as exposure:
        assert "the target does not move" == exposure.provenance[-1]["reason"]


def test_each_slit_gets_the_frame(tmp_path: Path) -> None:
    """And the mean place in its header; its box of pixels stays."""
    made = dithered_slits.exposures()
    library = AssignMTWcsStep().run(dithered_slits.write(tmp_path, moving()))
    with library[2] as exposure:
        slit = exposure.slits[1]
        assert FRAME == slit.meta.wcs.output_frame.name
        assert pytest.approx(80 + np.mean(WAYS)) == slit.meta.wcsinfo.mt_avra
        assert slit.meta.wcs.bounding_box.bounding_box(order="F") == made[2].slits[
            1
        ].meta.wcs.bounding_box.bounding_box(order="F")
