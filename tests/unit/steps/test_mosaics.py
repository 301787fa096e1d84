"""Many exposures into one mosaic and a catalogue, held against the stars of the simulated field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.demo.compare import stars_found
from stpipe.demo.observation import DITHERS
from stpipe.demo.project import write_demo
from stpipe.errors import InputError, ParameterError
from stpipe.models import dqflags
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.pipelines.image3 import Image3Pipeline
from stpipe.science.mosaics.sky_grid import Wishes, common_grid, corners_of, fiducial, pixel_map
from stpipe.science.sources.star_finder import between
from stpipe.steps.stage2.resample import ResampleStep
from stpipe.steps.stage3 import outlier_detection, skymatch
from stpipe.steps.stage3.outlier_detection import Limits, OutlierDetectionStep
from stpipe.steps.stage3.skymatch import Overlap, SkyMatchStep, SkyStatistic
from stpipe.steps.stage3.source_catalog.step import SourceCatalogStep
from stpipe.steps.stage3.tweakreg.step import TweakRegStep


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dithered field, calibrated up to single images."""
    folder = tmp_path_factory.mktemp("field")
    list(write_demo(folder, DITHERS))
    (folder / "cal").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder / "crds"))
        for source in folder.glob("uncal/*.fits"):
            rate, _ = Detector1Pipeline.call(str(source))
            name = source.name.replace("_uncal", "_cal")
            Image2Pipeline.call(rate).image.save(folder / "cal" / name)
    return folder


@pytest.fixture
def association(field: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The association of the field's exposures."""
    monkeypatch.setenv("CRDS_PATH", str(field / "crds"))
    return next(field.glob("asn/*.json"))


@pytest.fixture(scope="module")
def made(field: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The mosaic and the catalogue."""
    del tmp_path_factory
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(field / "crds"))
        return Image3Pipeline.call(str(next(field.glob("asn/*.json"))))


def known_stars(field: Path) -> Any:
    """The table of true stars."""
    with fits.open(next(field.glob("truth/*_stars.fits"))) as file:
        return np.array(file["STARS"].data)


def test_stars_are_where_they_are_and_as_bright_as_they_are(field: Path, made: Any) -> None:
    """Places to 5 mas rms, fluxes unbiased within errors, most stars found."""
    found = stars_found(made.catalog.catalog, known_stars(field))

    assert found.stars > 45
    assert found.rms < 0.005
    assert abs(found.bias) < 3 * found.bias_error
    assert found.bias_error < 0.01


def test_segments_are_those_of_the_sources(made: Any) -> None:
    """Each source of the catalogue lies in its own; numbers that are not listed occur nowhere."""
    segments, table = made.segments, made.catalog.catalog
    assert segments.shape == made.mosaic.shape
    x, y = (np.rint(table[name]).astype(int) for name in ("xcentroid", "ycentroid"))
    np.testing.assert_array_equal(table["label"], segments.data[y, x])
    assert {0, *table["label"]} == set(np.unique(segments.data))
    sky = (table["sky_centroid.ra"][0], table["sky_centroid.dec"][0])
    np.testing.assert_allclose(
        segments.meta.wcs.invert(*sky), (table["xcentroid"][0], table["ycentroid"][0]), atol=1e-6
    )


def test_the_mosaic_tells_what_it_is(made: Any) -> None:
    """Weights, context, errors, times and coordinates of all exposures together."""
    mosaic = made.mosaic
    rows, columns = mosaic.shape
    assert mosaic.con.shape == (1, rows, columns)
    counts = sum((mosaic.con[0] >> bit) & 1 for bit in range(4))
    assert set(np.unique(counts)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(counts > 0, mosaic.wht > 0)
    np.testing.assert_array_equal(np.isnan(mosaic.data), mosaic.wht == 0)
    deep, shallow = (mosaic.var_rnoise[(counts == n) & (mosaic.wht > 0)] for n in (4, 1))
    assert 3 < np.nanmedian(shallow) / np.nanmedian(deep) < 5
    total = mosaic.var_poisson + mosaic.var_rnoise + mosaic.var_flat
    good = np.isfinite(total)
    np.testing.assert_allclose(mosaic.err[good] ** 2, total[good], rtol=1e-5)
    assert mosaic.meta.resample.pointings == 4
    assert mosaic.meta.wcsinfo.v2_ref is None
    assert mosaic.meta.wcsinfo.a_order is None
    single = DITHERS[0].frames * DITHERS[0].subarray.frame_time
    assert pytest.approx(4 * single) == mosaic.meta.exposure.exposure_time
    steps = [record["step"] for record in mosaic.provenance]
    order = ["tweakreg", "skymatch", "outlier_detection", "resample"]
    assert order == [step for step in steps if step in order]
    assert "COMPLETE" == mosaic.meta.cal_step.resample
    assert "COMPLETE" == mosaic.meta.cal_step.tweakreg


def test_errors_are_those_of_empty_sky(made: Any) -> None:
    """Where there is no star the scatter of pixels is the square root of the variances.

    Neighbours are correlated, which makes pixels scatter less than a lone one would (Casertano et al.
    2000); for drops and pixels of equal width the factor is 2/3 on average over dithers.
    """
    mosaic = made.mosaic
    counts = sum((mosaic.con[0] >> bit) & 1 for bit in range(4))
    sky = (counts == 4) & np.isfinite(mosaic.data)
    values = mosaic.data - np.nanmedian(mosaic.data[sky])
    sky &= np.abs(values) < 4 * np.nanmedian(mosaic.err[sky])

    ratio = values[sky].std() / np.median(mosaic.err[sky])
    assert 0.6 < ratio < 1.0


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


def changed(field: Path, folder: Path, change: Callable[[int, Any], None]) -> Path:
    """The association, with exposures that were tampered with."""
    paths = sorted(field.glob("cal/*_cal.fits"))
    for number, path in enumerate(paths):
        with models.open(path) as image:
            change(number, image)
            image.save(folder / path.name)
    content = json.loads(next(field.glob("asn/*.json")).read_text())
    members = [{"expname": path.name, "exptype": "science"} for path in paths]
    content["products"][0]["members"] = members
    target = folder / "asn.json"
    target.write_text(json.dumps(content))
    return target


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


def test_cosmic_rays_in_one_exposure_are_outliers(
    field: Path, association: Path, tmp_path: Path
) -> None:
    """All strong hits are flagged, little else, and the mosaic does not show them."""
    del association
    rng = np.random.default_rng(3)
    rows, columns = rng.integers(60, 260, (2, 40))

    def strike(number: int, image: Any) -> None:
        if number == 2:
            data = image.data.copy()
            data[rows, columns] += np.float32(500.0)
            image.data = data

    struck = changed(field, tmp_path, strike)
    aligned = TweakRegStep(minobj=10).run(struck)
    flagged = OutlierDetectionStep().run(aligned)
    with flagged[2] as member:
        bits = dqflags.OUTLIER | dqflags.DO_NOT_USE
        known = np.isfinite(models.open(tmp_path / member.meta.filename).data[rows, columns])
        assert ((member.dq[rows, columns] & bits) == bits)[known].mean() > 0.95
        assert np.isnan(member.data[rows, columns]).all()
        assert (member.dq & dqflags.OUTLIER > 0).mean() < 0.01
    with flagged[0] as member:
        assert (member.dq & dqflags.OUTLIER > 0).mean() < 0.002
    clean, dirty = (ResampleStep().run(library) for library in (flagged, aligned))
    assert np.nanmax(np.abs(dirty.data - clean.data)) > 50


def test_one_exposure_has_no_outliers_and_nothing_to_be_aligned_with(field: Path) -> None:
    """Skipped; it still becomes a mosaic."""
    path = next(field.glob("cal/*_cal.fits"))
    for step in (TweakRegStep, OutlierDetectionStep):
        with step().run(path)[0] as member:
            assert "only one exposure" in member.provenance[-1]["reason"]
    mosaic = ResampleStep().run(path)
    assert (mosaic.wht > 0).mean() > 0.9


def test_members_that_cannot_be_combined_are_refused(field: Path, tmp_path: Path) -> None:
    """Rates without coordinates, products of two kinds, several products in one association."""
    with models.open(next(field.glob("cal/*_cal.fits"))) as image:
        image.meta.wcsinfo.s_region = None
        path = image.save(tmp_path / "x_cal.fits")
    with pytest.raises(InputError, match=r"lacks meta\.wcsinfo\.s_region"):
        ResampleStep().run(path)
    with pytest.raises(InputError, match=r"holds a Level1bModel.*allowed: ImageModel"):
        ResampleStep().run(next(field.glob("uncal/*.fits")))
    asn = next(field.glob("asn/*.json"))
    content = json.loads(asn.read_text())
    for member in content["products"][0]["members"]:
        member["expname"] = str((asn.parent / member["expname"]).resolve())
    content["products"] *= 2
    twice = tmp_path / "twice.json"
    twice.write_text(json.dumps(content))
    with pytest.raises(InputError, match="describes 2 products, allowed: 1"):
        Image3Pipeline().run(twice)
    with pytest.raises(ParameterError, match="is a command, which takes one file"):
        ResampleStep(pre_hooks=["shell:cat {input}"]).run(asn)


def test_only_science_members_become_the_mosaic(
    field: Path, association: Path, run: Any, tmp_path: Path
) -> None:
    """Backgrounds of an association are left alone, in memory and in a project: the same pixels."""
    content = json.loads(association.read_text())
    paths = sorted(field.glob("cal/*_cal.fits"))
    kinds = ("science", "background", "science", "science")
    members = [{"expname": str(p), "exptype": k} for p, k in zip(paths, kinds, strict=True)]
    content["products"][0]["members"] = members
    asn = tmp_path / "asn.json"
    asn.write_text(json.dumps(content))
    saved = {"outlier_detection": {"save_results": True}}
    made = Image3Pipeline.call(str(asn), steps=saved, output_dir=str(tmp_path / "out"))
    crf = sorted(path.name for path in tmp_path.glob("out/*_crf.fits"))
    science = [p.name.replace("_cal", "_crf") for p in (paths[0], *paths[2:])]
    assert science == crf

    run("stflow", "init", "project", "--pipeline=calwebb_image3", asn, cwd=tmp_path)
    run("snakemake", "--cores", "1", "cal/*.fits", cwd=tmp_path / "project")
    with models.open(next(tmp_path.glob("project/cal/*_i2d.fits"))) as mosaic:
        np.testing.assert_array_equal(made.mosaic.data, mosaic.data)


def test_command_line(field: Path, run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """An association in, a mosaic and a catalogue out, under the name of the product."""
    monkeypatch.setenv("CRDS_PATH", str(field / "crds"))
    asn = next(field.glob("asn/*.json"))
    run("strun", "calwebb_image3", asn, "--output_dir=out", cwd=tmp_path)

    root = "jw01234-o005_t001_nircam_clear-f200w"
    names = {f"{root}_{ending}" for ending in ("i2d.fits", "cat.ecsv", "segm.fits")}
    assert names == {p.name for p in tmp_path.glob("out/*")}
    run("strun", "tweakreg", asn, "--output_dir=tweaked", cwd=tmp_path)
    names = {path.name for path in tmp_path.glob("tweaked/*")}
    assert {p.name.replace("_cal", "_tweakreg") for p in field.glob("cal/*_cal.fits")} == names


# --- arithmetic ------------------------------------------------------------------------------------


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


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10_000))
def test_median_of_layers_in_bands(count: int, seed: int) -> None:
    """As numpy has it, however the exposures lie in the mosaic."""
    import tempfile

    rng = np.random.default_rng(seed)
    shape = (150, 40)
    stack = np.full((count, *shape), np.nan, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        layers = []
        for number in range(count):
            y, x = int(rng.integers(0, 100)), int(rng.integers(0, 20))
            window = outlier_detection.Window(slice(y, y + 50), slice(x, x + 20))
            values = rng.normal(0, 1, window.shape).astype(np.float32)
            values[rng.random(values.shape) < 0.2] = np.nan
            stack[number][window.section] = values
            path = Path(folder) / f"{number}"
            values.tofile(path)
            layers.append(outlier_detection.Layer(path, window))
        found = outlier_detection.median_of(layers, shape)
    empty = np.isnan(stack).all(axis=0)
    np.testing.assert_allclose(np.nanmedian(stack[:, ~empty], axis=0), found[~empty], rtol=1e-6)
    assert np.isnan(found[empty]).all()


def test_steepness_and_outliers() -> None:
    """A hit is an outlier beside a steep star, the star itself is not; neighbours need less."""
    expected = np.zeros((7, 7), np.float32)
    expected[3, 3] = 100
    slope = outlier_detection.steepness(expected)
    assert 100 == slope[3, 3] == slope[2, 3] == slope[3, 4]
    assert 0 == slope[2, 2]
    expected[0, 0] = np.nan
    assert np.isnan(outlier_detection.steepness(expected)[0, 0])
    assert 0 == outlier_detection.steepness(expected)[0, 1]

    err = np.ones((7, 7), np.float32)
    data = np.nan_to_num(expected)
    data[3, 3] += 60
    data[6, 1] += 10
    data[6, 2] += 4.5
    data[1, 6] += 4.5
    found = outlier_detection.outliers(data, err, expected, Limits(5, 4, 1.2, 0.7))
    assert [(6, 1), (6, 2)] == list(zip(*np.nonzero(found), strict=True))


def test_pixel_maps_are_exact(field: Path) -> None:
    """Splines between the points agree with the coordinates of every pixel to 1e-6."""
    path = next(field.glob("cal/*_cal.fits"))
    with models.open(path) as image:
        grid = common_grid(models.ModelLibrary([path]), [0], Wishes())
        found = pixel_map(image.meta.wcs, grid, image.shape)
        rows, columns = np.indices(image.shape)
        x, y = grid.wcs.invert(*image.meta.wcs(columns, rows), with_bounding_box=False)
    np.testing.assert_allclose(found[..., 0], x, atol=1e-6)
    np.testing.assert_allclose(found[..., 1], y, atol=1e-6)


def test_a_grid_of_ones_own(field: Path, tmp_path: Path) -> None:
    """A gwcs in an ASDF file decides; what is no such file is refused."""
    import asdf

    path = next(field.glob("cal/*_cal.fits"))
    first = ResampleStep(pixel_scale=0.05).run(path)
    own = tmp_path / "own.asdf"
    asdf.AsdfFile({"wcs": first.meta.wcs, "array_shape": first.shape}).write_to(own)
    second = ResampleStep(output_wcs=str(own)).run(path)

    np.testing.assert_allclose(first.data, second.data, rtol=1e-6)
    with pytest.raises(InputError, match="no readable ASDF file"):
        ResampleStep(output_wcs=str(path)).run(path)


def test_regions_and_their_middle() -> None:
    """Across the meridian, too."""
    corners = corners_of("POLYGON ICRS  359.9 -1.0 359.9 1.0 0.1 1.0 0.1 -1.0")
    ra, dec = fiducial(corners)
    assert min(ra, 360 - ra) < 1e-9
    assert abs(dec) < 1e-9
    with pytest.raises(InputError, match="allowed: POLYGON ICRS"):
        corners_of("POLYGON ICRS 1 2 3")


def test_catalogues_need_coordinates(field: Path, association: Path) -> None:
    """And an empty image has an empty one."""
    assert association.is_file()
    with models.open(next(field.glob("cal/*_cal.fits"))) as image:
        empty = image.copy()
        rng = np.random.default_rng(0)
        empty.data = rng.normal(0, 1, image.shape).astype(np.float32)
        empty.dq = np.zeros(image.shape, np.uint32)
        assert len(SourceCatalogStep(snr_threshold=8).run(empty).catalog.catalog) == 0
        image.meta.wcs = None
        with pytest.raises(InputError, match="no gwcs"):
            SourceCatalogStep().run(image)


def test_backgrounds_between_boxes() -> None:
    """Linear between the middles of boxes, constant beyond the outer ones; one box is constant."""
    found = between(np.array([[0.0, 10.0], [20.0, 30.0]]), (10, 10), (20, 20))
    assert 0 == found[0, 0] == found[4, 4]
    assert 30 == found[19, 19]
    assert pytest.approx(15) == found[9:11, 9:11].mean()
    np.testing.assert_allclose(found[:, 10] - found[:, 9], 1)
    assert (between(np.array([[7.0]]), (10, 10), (9, 8)) == 7).all()
