"""Many exposures into one mosaic and a catalogue, held against the stars of the simulated field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dithered_field import known_stars

from stpipe import models
from stpipe.demo.compare import stars_found
from stpipe.demo.observation import DITHERS
from stpipe.errors import InputError, ParameterError
from stpipe.pipelines.image3 import Image3Pipeline
from stpipe.steps.stage2.resample import ResampleStep


@pytest.fixture(scope="module")
def made(field: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The mosaic and the catalogue."""
    del tmp_path_factory
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(field / "crds"))
        return Image3Pipeline.call(str(next(field.glob("asn/*.json"))))


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
