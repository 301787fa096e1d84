"""Exposures are aligned with each other and with a catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from dithered_field import known_stars

from stpipe import models
from stpipe.demo.observation import DITHERS
from stpipe.steps.stage3.tweakreg.step import TweakRegStep


def test_alignment_takes_the_errors_of_pointing_out(
    association: Path, field: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the simulator put in comes out, relative to the first exposure; inputs stay."""
    before = [path.read_bytes() for path in sorted(field.glob("cal/*_cal.fits"))]
    step = TweakRegStep(minobj=10)
    with models.ModelLibrary(association) as library:
        moved = step.run(library)
        for number, observation in enumerate(DITHERS):
            with library[number] as old, moved[number] as new:
                at = (159.5, 159.5)
                there, here = (np.array(m.meta.wcs(*at)) for m in (new, old))
            east, north = (there - here) * 3600 * [np.cos(np.deg2rad(here[1])), 1]
            pointing = observation.pointing
            assert pointing is not None
            np.testing.assert_allclose(
                (east, north), (pointing.off_east, pointing.off_north), atol=0.002
            )
        with moved[1] as member:
            assert "COMPLETE" == member.meta.cal_step.tweakreg
            assert "tweakreg" == member.provenance[-1]["step"]
            assert (
                pytest.approx(float(member.meta.wcsinfo.s_region.split()[2]))
                == member.meta.wcs(-0.5, -0.5, with_bounding_box=False)[0]
            )
    assert "moved by" in caplog.text or not caplog.records
    assert before == [path.read_bytes() for path in sorted(field.glob("cal/*_cal.fits"))]


def test_exposures_with_too_few_stars_stay(association: Path) -> None:
    """Skipped, with the reason, when that holds for all of them."""
    moved = TweakRegStep(minobj=1000).run(association)
    with moved[0] as member:
        assert "SKIPPED" == member.meta.cal_step.tweakreg
        assert "no two exposures have enough stars" in member.provenance[-1]["reason"]


def test_exposures_move_onto_a_catalogue(field: Path, association: Path, tmp_path: Path) -> None:
    """All together, also one alone; the stars that the simulator knows are where they are."""
    stars = known_stars(field)
    path = tmp_path / "known.ecsv"
    Table([stars["ra"], stars["dec"]], names=("ra", "dec")).write(path)
    options = {"abs_refcat": str(path), "abs_minobj": 10, "minobj": 10, "abs_searchrad": 1.0}
    alone = next(field.glob("cal/*00002_*_cal.fits"))
    for source, numbers in ((association, range(len(DITHERS))), (alone, [1])):
        aligned = TweakRegStep(**options, abs_tolerance=0.3, abs_separation=0.5).run(source)
        for number, member in zip(numbers, aligned, strict=True):
            pointing = DITHERS[number].pointing
            assert pointing is not None
            with models.open(field / "cal" / member.path.name) as before:
                here = np.array(before.meta.wcs(159.5, 159.5))
            there = np.array(member.meta.wcs(159.5, 159.5))
            east, north = (there - here) * 3600 * [np.cos(np.deg2rad(here[1])), 1]
            np.testing.assert_allclose(
                (east, north), (pointing.off_east, pointing.off_north), atol=0.002
            )
            assert "known.ecsv" in str(member.provenance[-1]["references"])
