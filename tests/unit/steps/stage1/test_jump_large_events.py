"""Snowballs and showers: planted events, what must not be flagged, the step around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage1.jump import large_events, step

JUMP, SAT = dqflags.JUMP_DET, dqflags.SATURATED
SNOWBALLS = step.JumpStep().snowball_rules(group_time=1000.0)
SHOWERS = step.JumpStep().shower_rules(group_time=10.0, nframes=1)


def disc(radius: float, y: int = 60, x: int = 60) -> np.ndarray:
    """A mask of 120 x 120 pixels with a disc."""
    rows, columns = np.mgrid[:120, :120]
    return np.hypot(rows - y, columns - x) <= radius


def snowball(core: float, halo: float = 8, y: int = 60) -> np.ndarray:
    """Flags of two integrations of six groups with an event in the third group of the first."""
    flags = np.zeros((2, 6, 120, 120), np.uint8)
    flags[0, 2, disc(halo, y)] = JUMP
    flags[0, 2:, disc(core, y) & (core > 0)] = SAT
    return flags


def test_an_ellipse_has_the_moments_of_its_region() -> None:
    """A disc has equal axes, a bar lies along its own direction."""
    (round_one,) = large_events.find_ellipses(disc(10, y=50, x=70), 5)
    assert (70, 50) == (round_one.x, round_one.y)
    assert round_one.short == pytest.approx(round_one.long)
    assert round_one.long == pytest.approx(2 * 10 - 1 + 0.5, abs=0.5)
    bar = np.zeros((30, 30), dtype=bool)
    bar[10:21, 5] = True
    (long_one,) = large_events.find_ellipses(bar, 5)
    assert (0, -1) == (long_one.angle, long_one.short)


def test_small_regions_are_none_and_holes_count() -> None:
    """The area is that of the region without its holes."""
    ring = disc(8) & ~disc(5)
    area = np.count_nonzero(disc(8))
    assert large_events.find_ellipses(ring, area)
    assert not large_events.find_ellipses(ring, area + 1)


def test_a_snowball_is_flagged_larger_and_its_core_stays_saturated() -> None:
    """Twice the ellipse in its group; the core two pixels wider to the end; next integration."""
    flags, found = large_events.flag_snowballs(snowball(core=4), SNOWBALLS)
    assert found == 1
    assert (flags[0, 2, disc(14) & ~disc(7)] == JUMP).all()
    assert not flags[0, 2, ~disc(17)].any()
    # The ellipse of a core is a pixel shorter than the core; 2 pixels more on all sides.
    assert (flags[0, 2:, disc(4.9)] == SAT).all()
    assert not flags[0, :2].any()
    # 4000 s are four groups; the first group of an integration cannot jump.
    assert [0, JUMP, JUMP, JUMP, 0, 0] == flags[1, :, 60, 60].tolist()


def test_jumps_without_a_core_are_no_snowball_but_at_the_edge() -> None:
    """The core of an event at the edge may be outside."""
    rules = SNOWBALLS
    given = snowball(core=0)
    flags, found = large_events.flag_snowballs(given, rules)
    assert found == 0
    np.testing.assert_array_equal(given, flags)
    assert large_events.flag_snowballs(given, replace(rules, sat_required_snowball=False))[1] == 1
    assert large_events.flag_snowballs(snowball(core=0, y=20), rules)[1] == 1


def test_a_core_may_saturate_a_group_later() -> None:
    """Saturation in the next group counts, in the one after it not."""
    for later, expected in ((3, 1), (4, 0)):
        flags = snowball(core=0)
        flags[0, later:, disc(3)] = SAT
        assert expected == large_events.flag_snowballs(flags, SNOWBALLS)[1]


def showered(height: float) -> tuple[large_events.Electrons, np.ndarray]:
    """Ramps with noise of 10 e- and a faint patch in the fourth group of the second integration."""
    rng = np.random.default_rng(0)
    data = rng.normal(0, 10 / np.sqrt(2), (3, 8, 120, 120)).astype(np.float32)
    data[1, 4:, disc(12)] += np.float32(height)
    noise = np.full((120, 120), 10, np.float32)
    return large_events.Electrons(data, noise), np.zeros(data.shape, np.uint8)


def test_a_shower_is_flagged_with_the_groups_after_it() -> None:
    """A patch of 3 sigma, which no pixel shows alone; 15 s are one more group of 10 s."""
    electrons, groupdq = showered(30)
    flags, found = large_events.flag_showers(
        electrons, groupdq, np.zeros((120, 120), "u4"), SHOWERS
    )
    assert found == 1
    assert [0, 0, 0, 0, JUMP, JUMP, 0, 0] == np.median(flags[1][:, disc(10)], axis=1).tolist()
    assert not flags[[0, 2]].any()
    assert not flags[1, :, ~disc(18)].any()


def test_noise_is_no_shower_and_few_groups_are_not_searched() -> None:
    """Nothing above the threshold; less than ten differences."""
    nothing = np.zeros((120, 120), "u4")
    electrons, groupdq = showered(0)
    assert large_events.flag_showers(electrons, groupdq, nothing, SHOWERS)[1] == 0
    electrons, groupdq = showered(30)
    few = large_events.Electrons(electrons.data[1:2], electrons.noise)
    assert large_events.flag_showers(few, groupdq[1:2], nothing, SHOWERS)[1] == 0


def test_what_changes_a_rate_too_much_is_no_shower() -> None:
    """Flagged groups come back where the rate would change by more than a shower explains."""
    electrons, groupdq = showered(300)
    nothing = np.zeros((120, 120), "u4")
    kept, _ = large_events.flag_showers(electrons, groupdq, nothing, SHOWERS)
    assert np.median(kept[1, 4, disc(10)]) == 0
    flagged, _ = large_events.flag_showers(
        electrons, groupdq, nothing, replace(SHOWERS, most_change=1e3)
    )
    assert np.median(flagged[1, 4, disc(10)]) == JUMP


@pytest.mark.usefixtures("crds")
def test_the_step_counts_large_events(demo_folder: Path) -> None:
    """Whole frames are looked at after the search; the rate of events is in the header."""
    source = next(demo_folder.glob("uncal/*00001_nrca1_uncal.fits"))
    with models.RampModel(source) as given:
        size = min(given.shape[2:]) // 2
        rows, columns = np.mgrid[: given.shape[2], : given.shape[3]]
        inside = np.hypot(rows - size, columns - size) < 5
        groupdq = np.array(given.groupdq)
        groupdq[0, 2:, inside] = SAT
        data = np.array(given.data)
        data[0, 2:, np.hypot(rows - size, columns - size) < 9] += 9000
        given.groupdq, given.data = groupdq, data

        plain = step.JumpStep().run(given)
        snowy = step.JumpStep(expand_large_events=True, edge_size=0).run(given)

        assert plain.meta.exposure.extended_emission_events == 0
        assert snowy.meta.exposure.extended_emission_events > 0
        assert snowy.meta.exposure.primary_cosmic_rays == plain.meta.exposure.primary_cosmic_rays
        more = (snowy.groupdq & (JUMP | SAT) != 0).sum() - (plain.groupdq & (JUMP | SAT) != 0).sum()
        assert more > 100

        showers = step.JumpStep(find_showers=True).run(given)
        assert showers.groupdq.shape == plain.groupdq.shape
