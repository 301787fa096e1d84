"""From rates to calibrated images, held against what the simulator knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.demo.optics import APERTURES
from stpipe.demo.truth import Truth
from stpipe.errors import InputError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.science.wcs.pointing import aberration, sky_from_v2v3
from stpipe.steps.stage2.assign_wcs import AssignWcsStep
from stpipe.steps.stage2.flat_field import FlatFieldStep, apply_flat, usable_flat
from stpipe.steps.stage2.photom import PhotomStep, time_correction

IMAGERS = {"nrca1": "NIRCAM", "mirimage": "MIRI", "nis": "NIRISS"}


@pytest.fixture(scope="module")
def rates(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The rate image of each imager."""
    folder = tmp_path_factory.mktemp("rates")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        for detector in IMAGERS:
            source = next(demo_folder.glob(f"uncal/*00001_{detector}_uncal.fits"))
            rate, _ = Detector1Pipeline.call(str(source))
            made[detector] = rate.save(folder / source.name.replace("_uncal", "_rate"))
    return made


@pytest.fixture(params=sorted(IMAGERS))
def rate(request: pytest.FixtureRequest, rates: dict[str, Path], crds: Path) -> Iterator[Path]:
    del crds
    return rates[request.param]


def test_the_reference_point_looks_where_the_header_says(rate: Path) -> None:
    """The centre of the subarray is at (V2_REF, V3_REF), and that is at (RA_REF, DEC_REF)."""
    image = AssignWcsStep().run(rate)
    rows, columns = image.shape
    info, centre = image.meta.wcsinfo, ((columns - 1) / 2, (rows - 1) / 2)

    v2, v3 = image.meta.wcs.get_transform("detector", "v2v3")(*centre)
    np.testing.assert_allclose((v2, v3), (info.v2_ref, info.v3_ref), atol=1e-9)
    np.testing.assert_allclose(image.meta.wcs(*centre), (info.ra_ref, info.dec_ref), atol=1e-9)


def test_fits_keywords_agree_with_the_gwcs(rate: Path, tmp_path: Path) -> None:
    """What other software reads is the same to a hundredth of a pixel, and so is the outline."""
    from astropy.io import fits
    from astropy.wcs import WCS

    image = AssignWcsStep().run(rate)
    path = image.save(tmp_path / "x_assign_wcs.fits")
    rows, columns = np.mgrid[0 : image.shape[0] - 1 : 9j, 0 : image.shape[1] - 1 : 9j]
    with fits.open(path) as hdus:
        theirs = WCS(hdus["SCI"].header).all_pix2world(columns, rows, 0)
    ours = image.meta.wcs(columns, rows)

    pixel = APERTURES[image.meta.instrument.name].scale / 3600
    east = (theirs[0] - ours[0]) * np.cos(np.deg2rad(ours[1]))
    assert max(np.abs(east).max(), np.abs(theirs[1] - ours[1]).max()) < 0.01 * pixel
    corners = np.array(image.meta.wcsinfo.s_region.split()[2:], float).reshape(4, 2)
    edges = [(-0.5, -0.5), (-0.5, image.shape[0] - 0.5)]
    for corner, edge in zip(corners, edges, strict=False):
        np.testing.assert_allclose(
            corner, image.meta.wcs(*edge, with_bounding_box=False), atol=1e-8
        )


def test_sip_can_be_left_out_and_tells_when_it_is_not_good_enough(
    rate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it the keywords stay; with too low a degree there is a warning."""
    with models.open(rate) as before:
        plain = AssignWcsStep(sip_approx=False).run(before)
        assert before.meta.wcsinfo.ctype1 == plain.meta.wcsinfo.ctype1 == "RA---TAN"
    coarse = AssignWcsStep(sip_degree=1, sip_inv_degree=1, sip_max_pix_error=1e-9).run(rate)
    assert "SIPMXERR" in caplog.text
    assert coarse.meta.wcsinfo.cd1_1 is not None
    assert coarse.meta.wcsinfo.pc1_1 is None


def test_other_exposure_types_are_refused(rate: Path) -> None:
    """Not passed through: the message lists what can be done."""
    with models.open(rate) as image:
        image.meta.exposure.type = "NIS_SOSS"
        with pytest.raises(InputError, match=r"NIS_SOSS are not supported, allowed: .*NRC_IMAGE"):
            AssignWcsStep().run(image)


angles = st.floats(-3.0, 3.0)


@settings(max_examples=30, deadline=None)
@given(ra=st.floats(0, 359.9), dec=st.floats(-89, 89), roll=st.floats(0, 360), x=angles, y=angles)
def test_pointing_is_a_rotation(ra: float, dec: float, roll: float, x: float, y: float) -> None:
    """The reference point arrives; angles between directions stay; V3 has the position angle."""
    info = {"v2_ref": 120.0, "v3_ref": -500.0, "roll_ref": roll, "ra_ref": ra, "dec_ref": dec}
    to_sky = sky_from_v2v3(info)

    def vector(lon: Any, lat: Any) -> Any:
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    here = vector(*to_sky(120.0, -500.0))
    np.testing.assert_allclose(vector(ra, dec), here, atol=1e-12)
    there = vector(*to_sky(120.0 + 60 * x, -500.0 + 60 * y))
    before = vector(120.0 / 3600, -500.0 / 3600) @ vector(
        (120.0 + 60 * x) / 3600, (-500.0 + 60 * y) / 3600
    )
    assert pytest.approx(before, abs=1e-13) == here @ there
    up = vector(*to_sky(120.0, -499.99)) - here
    north = np.array([0, 0, 1]) - here * here[2]
    assert pytest.approx(np.cos(np.deg2rad(roll)), abs=1e-4) == (
        up @ north / np.linalg.norm(up) / np.linalg.norm(north)
    )


def test_aberration_leaves_the_reference_point() -> None:
    """Distances from it are stretched."""
    stretched = aberration(1.0001, 100.0, -200.0)

    np.testing.assert_allclose(stretched(100.0, -200.0), (100.0, -200.0))
    np.testing.assert_allclose(stretched(110.0, -200.0), (110.001, -200.0))
    np.testing.assert_array_equal(aberration(None, 1.0, 2.0)(5.0, 6.0), (5.0, 6.0))


@pytest.mark.parametrize("detector", sorted(IMAGERS))
def test_images_show_the_light(
    rates: dict[str, Path], demo_folder: Path, crds: Path, detector: str
) -> None:
    """Surface brightness is what the simulator put in, unbiased, errors right."""
    del crds
    path = rates[detector]
    truth = Truth.load(demo_folder / "truth" / path.name.replace("_rate", "_truth"))
    image = Image2Pipeline.call(str(path)).image
    flat = FlatFieldStep()
    flat.run(path)
    with models.open(flat.selected["flat"].path) as reference:
        wide, (rows, columns) = reference.data, image.shape
        y = image.meta.subarray.ystart - reference.meta.subarray.ystart
        x = image.meta.subarray.xstart - reference.meta.subarray.xstart
        response = wide[y : y + rows, x : x + columns]
    light = truth.rate / response * image.meta.photometry.conversion_megajanskys
    bad = dqflags.DO_NOT_USE | dqflags.REFERENCE_PIXEL
    good = np.isfinite(image.data) & ((image.dq | truth.dq) & bad == 0)
    pull = ((image.data - light) / image.err)[good]
    pull = pull[np.abs(pull) < 5]

    assert "MJy/sr" == image.meta.bunit_data
    assert good.sum() > 0.8 * good.size
    assert abs(pull.mean()) < 0.1
    assert abs(pull.std() - 1) < 0.1
    unknown = image.dq & dqflags.NO_FLAT_FIELD > 0
    assert unknown.any()
    assert np.isnan(image.data[unknown]).all()


def test_a_flat_undone_is_the_rate_again(rate: Path) -> None:
    """inverse=True takes back what the step did."""
    there = FlatFieldStep().run(rate)
    back = FlatFieldStep(inverse=True).run(there)
    with models.open(rate) as before:
        good = np.isfinite(back.data)
        assert good.any()
        np.testing.assert_allclose(before.data[good], back.data[good], rtol=1e-5)
        np.testing.assert_allclose(before.var_rnoise[good], back.var_rnoise[good], rtol=1e-5)


def test_flats_mark_what_they_do_not_know() -> None:
    """NaN, 0 and NO_FLAT_FIELD exclude a pixel, UNRELIABLE_FLAT does not."""
    flat = np.array([[1.1, 0.0, np.nan, 0.9, 0.8]], np.float32)
    dq = np.array([[0, 0, 0, dqflags.NO_FLAT_FIELD, dqflags.UNRELIABLE_FLAT]], np.uint32)
    response, flags = usable_flat(flat, dq)

    np.testing.assert_allclose(response, [[1.1, 1, 1, 1, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(flags & dqflags.DO_NOT_USE, [[0, 1, 1, 1, 0]])
    values = {n: np.full((1, 5), v, np.float32) for n, v in zip(NAMES, (2, 3, 4), strict=True)}
    found = apply_flat(values, response, np.full((1, 5), 0.1, np.float32))
    assert pytest.approx(2 / 0.8) == found["data"][0, 4]
    assert pytest.approx((2 / 0.8 * 0.1 / 0.8) ** 2) == found["var_flat"][0, 4]
    total = (3 + 4) / 0.8**2 + (2 / 0.8 * 0.1 / 0.8) ** 2
    assert pytest.approx(np.sqrt(total), rel=1e-6) == found["err"][0, 4]


NAMES = ("data", "var_poisson", "var_rnoise")


def test_a_flat_that_is_not_there(rate: Path, tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ReferenceMissing, match=r"nowhere\.fits"):
        FlatFieldStep(user_supplied_flat=str(tmp_path / "nowhere.fits")).run(rate)


def test_photom_without_an_entry_says_so(rate: Path) -> None:
    """SKIPPED, with what was looked for; data stay."""
    with models.open(rate) as image:
        image.meta.instrument.filter = "F090W"
        product = PhotomStep().run(image)
        assert "SKIPPED" == product.meta.cal_step.photom
        assert "filter F090W" in product.provenance[-1]["reason"]
        np.testing.assert_array_equal(image.data, product.data)


def test_sensitivity_falls_as_the_laws_say() -> None:
    """Several laws multiply; without laws nothing is corrected."""
    meta = {"meta.exposure.mid_time": 60_365.0}
    linear = np.array([(60_000.0, 0.1)], [("t0", "f8"), ("lossperyear", "f8")])[0]
    columns = [(n, "f8") for n in ("t0", "amplitude", "tau", "const")]
    exponential = np.array([(60_000.0, 0.5, 365.0, 0.4)], columns)[0]

    assert 1.0 == time_correction({}, meta)
    assert pytest.approx(0.9) == time_correction({"linear": linear}, meta)
    both = time_correction({"linear": linear, "exponential": exponential}, meta)
    assert pytest.approx(0.9 * (0.5 / np.e + 0.4)) == both
