"""Levels of the sky in exposures that overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dithered_field import changed
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.errors import InputError, ParameterError
from stpipe.steps.stage3 import skymatch
from stpipe.steps.stage3.skymatch import Overlap, SkyMatchStep, SkyStatistic


def test_levels_of_the_sky_are_found(field: Path, association: Path, tmp_path: Path) -> None:
    """Levels that are added to exposures come out, relative to the lowest; `subtract` applies them."""
    del association
    added = np.array([5.0, 0.0, 12.0, 2.5])

    def raise_sky(number: int, image: Any) -> None:
        image.data = image.data + np.float32(added[number])

    levels = {}
    plain = SkyMatchStep().run(next(field.glob("asn/*.json")))
    raised = SkyMatchStep(subtract=True).run(changed(field, tmp_path, raise_sky))
    for name, library in (("plain", plain), ("raised", raised)):
        levels[name] = np.array([member.meta.background.level for member in library])
    found = levels["raised"] - levels["plain"]
    np.testing.assert_allclose(found - found[1], added, atol=0.3)
    with raised[2] as member:
        assert member.meta.background.subtracted is True
        with models.open(tmp_path / member.meta.filename) as before:
            difference = np.nanmedian(before.data - member.data)
        assert pytest.approx(member.meta.background.level, rel=1e-5) == difference


def test_levels_of_the_user(field: Path, association: Path, tmp_path: Path) -> None:
    """By the names of exposures, whatever their suffixes; the file is recorded and must fit."""
    del association
    asn = next(field.glob("asn/*.json"))
    names = sorted(path.name for path in field.glob("cal/*_cal.fits"))
    own = tmp_path / "levels.txt"
    lines = [f"{name.replace('_cal', '_rate')} {n + 0.5}" for n, name in enumerate(names)]
    own.write_text("\n".join(lines) + "\n")
    library = SkyMatchStep(skymethod="user", skylist=str(own)).run(asn)

    for number, member in enumerate(library):
        assert number + 0.5 == member.meta.background.level
        assert "user" == member.meta.background.method
        assert "levels.txt" in str(member.provenance[-1]["references"])
    own.write_text("\n".join(lines[1:]))
    with pytest.raises(InputError, match=rf"{names[0]} is listed 0 times, allowed: once each"):
        SkyMatchStep(skymethod="user", skylist=str(own)).run(asn)
    own.write_text("a b c")
    with pytest.raises(InputError, match="allowed are lines of a name and a level"):
        SkyMatchStep(skymethod="user", skylist=str(own)).run(asn)
    with pytest.raises(ParameterError, match="skymethod=user needs skylist"):
        SkyMatchStep(skymethod="user").run(asn)


def test_skies_that_were_subtracted(field: Path, association: Path, tmp_path: Path) -> None:
    """A second time takes out what is left, and the level is that of both; else it is refused."""
    del association
    first = SkyMatchStep(skymethod="local", skystat="mean", subtract=True)
    paths = first.run(next(field.glob("asn/*.json"))).save(tmp_path)
    second = SkyMatchStep(skymethod="local", skystat="mean", subtract=True).run(paths)
    with models.open(paths[1]) as before, second[1] as after:
        assert pytest.approx(before.meta.background.level, rel=0.01) == after.meta.background.level
        assert abs(np.nanmedian(after.data)) < 0.1 * before.meta.background.level
    with pytest.raises(InputError, match="is subtracted already"):
        SkyMatchStep().run(paths)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6), st.integers(0, 1000))
def test_differences_in_overlaps_give_levels(levels: list[float], seed: int) -> None:
    """A chain of overlaps is enough; whatever they share drops out."""
    rng = np.random.default_rng(seed)
    overlaps = {}
    for one in range(len(levels) - 1):
        count, shared = int(rng.integers(10, 1000)), rng.normal(0, 10)
        overlaps[one, one + 1] = Overlap(levels[one] + shared, count)
        overlaps[one + 1, one] = Overlap(levels[one + 1] + shared, count)

    found = skymatch.matched(overlaps, len(levels), match_down=True)
    np.testing.assert_allclose(found, np.array(levels) - min(levels), atol=1e-8)


def test_only_neighbours_are_compared() -> None:
    """A strip of exposures, across the meridian and near the pole: each has two, the ends have one."""
    for step, dec in ((0.04, 0.0), (0.4, 84.0)):
        left = (np.arange(6) - 3) * step
        wide, high = 1.2 * step, 0.03
        outlines = [
            np.array([(ra, dec), (ra + wide, dec), (ra + wide, dec + high), (ra, dec + high)])
            for ra in left % 360
        ]
        found = skymatch.neighbours(outlines)
        for own, others in enumerate(found):
            assert {n for n in (own - 1, own + 1) if 0 <= n < len(left)} <= set(others)
            assert all(abs(own - other) <= 2 for other in others)  # circles reach further


def test_exposures_without_overlap_get_no_level() -> None:
    """There is nothing to compare them with."""
    overlaps = {(0, 1): Overlap(3.0, 10), (1, 0): Overlap(1.0, 10)}
    np.testing.assert_allclose(
        skymatch.matched(overlaps, 3, match_down=True), [2, 0, 0], atol=1e-12
    )
    np.testing.assert_allclose(
        skymatch.matched(overlaps, 3, match_down=False), [0, -2, 0], atol=1e-12
    )


@pytest.mark.parametrize("kind", ["mean", "median", "mode"])
def test_levels_do_not_see_stars(kind: str) -> None:
    """A hundredth of bright pixels moves no level by much."""
    rng = np.random.default_rng(1)
    values = rng.normal(10, 1, 20_000).astype(np.float32)
    values[:200] += 500
    level = SkyStatistic(kind, None, None, 5, 4.0, 4.0, 0.1)(values)
    assert pytest.approx(10, abs=0.15) == level.level
    assert level.count > 19_000
    nothing = SkyStatistic(kind, 1e6, None, 5, 4.0, 4.0, 0.1)(values)
    assert 0 == nothing.count


def test_modes_are_exact_to_a_fraction_of_a_bin() -> None:
    """A histogram's highest bin is off by bins; the peak that is fitted to it is not."""
    levels = []
    for seed in range(20):
        values = np.random.default_rng(seed).normal(3, 2, 25_000).astype(np.float32)
        levels.append(SkyStatistic("mode", None, None, 5, 4.0, 4.0, 0.1)(values).level)
    assert pytest.approx(3, abs=0.02) == np.mean(levels)
    assert np.std(levels) < 0.05


def test_pixels_in_polygons() -> None:
    """Either way round, borders included."""
    corners = np.array([[1.0, 1.0], [5.0, 1.0], [5.0, 3.0], [1.0, 3.0]])
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:4, 1:6] = True
    np.testing.assert_array_equal(expected, skymatch.inside(corners, (6, 8)))
    np.testing.assert_array_equal(expected, skymatch.inside(corners[::-1], (6, 8)))


def test_pixels_in_a_polygon_with_a_notch() -> None:
    """Outlines that users draw need be neither convex nor of four corners."""
    corners = np.array([[0.0, 0.0], [6.0, 0.0], [6.0, 5.0], [3.0, 1.5], [0.0, 5.0]])
    held = skymatch.inside(corners, (6, 8))
    assert held[1, 3]
    assert not held[3, 3]
    assert held[3, [0, 6]].all()
