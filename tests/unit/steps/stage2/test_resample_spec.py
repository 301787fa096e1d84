"""Rectified spectra of a slit: the grid, what is kept of the light, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.demo import lrs
from stpipe.demo.crds_cache import write_crds_cache
from stpipe.demo.headers import keywords
from stpipe.demo.observation import SPECTRA
from stpipe.errors import InputError, ParameterError
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.science.mosaics.sky_grid import corners_of
from stpipe.science.mosaics.slit_grid import slit_scale
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.resample_spec import ResampleSpecStep

PLAN = next(plan for plan in SPECTRA if plan.spectrum and plan.spectrum.kind == "FIXEDSLIT")
SCALE = 0.11  # arcsec, of the demo's pixels


@pytest.fixture(scope="module", autouse=True)
def references(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Those of the slit of MIRI's prism."""
    folder = tmp_path_factory.mktemp("crds")
    list(write_crds_cache(folder, [PLAN]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder))
        patch.setenv("CRDS_READONLY_CACHE", "1")
        yield


@pytest.fixture(scope="module")
def calibrated(references: None) -> Any:
    """A calibrated star in the slit, without noise."""
    del references
    image = models.ImageModel()
    light = lrs.light(PLAN.detector, PLAN.subarray, PLAN.spectrum, 0.5)  # type: ignore[arg-type]
    image.data = (light / PLAN.detector.gain).astype(np.float32)
    for path, value in keywords(PLAN).items():
        image.set(path, value)
    image.var_poisson = image.data / 100
    image.var_rnoise = np.full_like(image.data, 0.1)
    image.err = np.sqrt(image.var_poisson + image.var_rnoise)
    return Spec2Pipeline(steps={"extract_1d": {"skip": True}}).run(image).calibrated


def even(calibrated: Any, value: float, variance: float) -> Any:
    """The same exposure with the same value and variances everywhere."""
    image = calibrated.copy()
    image.data = np.full(image.shape, value, np.float32)
    for name in ("var_poisson", "var_rnoise", "var_flat"):
        image.set(name, np.full(image.shape, variance, np.float32))
    image.dq = np.zeros(image.shape, np.uint32)
    return image


def test_rows_are_wavelengths_and_the_trace_is_straight(calibrated: Any) -> None:
    """Wavelengths are those of the exposure's rows; the star is at one place in all of them."""
    found = ResampleSpecStep().run(calibrated)
    rows, columns = found.shape
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    waves = found.meta.wcs(x, y)[2]

    np.testing.assert_allclose(found.wavelength, waves, rtol=1e-6)
    assert np.ptp(waves, axis=1).max() == 0
    detector = calibrated.wavelength
    lit = np.isfinite(detector).any(axis=1)
    np.testing.assert_allclose(waves[:, 0], np.nanmedian(detector[lit], axis=1), rtol=1e-6)
    data = found.data[5:-5]  # the ends of the spectrum are not lit
    light = np.nan_to_num(data) - np.nanmedian(data, axis=1, keepdims=True)
    near = np.abs(np.arange(columns) - lrs.RECTIFIED - PLAN.spectrum.nod / SCALE) < 7  # type: ignore[union-attr]
    places = (light * near * np.arange(columns)).sum(axis=1) / (light * near).sum(axis=1)
    # On the detector the trace swings by 0.2 pixels; bad pixels displace some of the places.
    assert np.percentile(np.abs(places - np.median(places)), 90) < 0.07
    assert "SlitModel" == type(found).__name__


@settings(max_examples=12, deadline=None)
@given(ratio=st.floats(0.4, 2.5), pixfrac=st.floats(0.6, 1), value=st.floats(-5, 100))
def test_even_light_stays_even(calibrated: Any, ratio: float, pixfrac: float, value: float) -> None:
    """A brightness is the same in pixels of any width; their variance is inverse to it."""
    image = even(calibrated, value, 0.25)
    found = ResampleSpecStep(pixel_scale_ratio=ratio, pixfrac=pixfrac).run(image)

    seen = found.wht > 0
    assert seen.mean() > 0.5
    np.testing.assert_allclose(found.data[seen], value, rtol=1e-5, atol=1e-6)
    assert np.isnan(found.data[~seen]).all()
    np.testing.assert_allclose(found.var_flat[seen], 0.25 * ratio, rtol=1e-4)
    np.testing.assert_allclose(found.err[seen], np.sqrt(0.75 * ratio), rtol=1e-4)
    scale = 3600 * slit_scale(found.meta.wcs, 2)
    assert pytest.approx(3600 * slit_scale(calibrated.meta.wcs, 2) / ratio, rel=1e-3) == scale
    area = found.meta.photometry.pixelarea_steradians
    assert pytest.approx(calibrated.meta.photometry.pixelarea_steradians / ratio) == area


def test_pixels_that_are_not_to_be_used_do_not_contribute(calibrated: Any) -> None:
    """One alone is made up for by its neighbours; flags come along when they are asked for."""
    image = even(calibrated, 3.0, 0.1)
    dq = np.zeros(image.shape, np.uint32)
    dq[200, 320] = dqflags.DO_NOT_USE | dqflags.HOT
    data = image.data.copy()
    data[200, 320] = 1e6
    image.data, image.dq = data, dq
    found = ResampleSpecStep(propagate_dq=True).run(image)

    assert pytest.approx(3.0, rel=1e-5) == np.nanmax(found.data)
    assert 0 == found.dq.max()  # what did not contribute left no flag either
    image.dq = np.where(dq > 0, dqflags.HOT, 0).astype(np.uint32)
    assert dqflags.HOT == ResampleSpecStep(propagate_dq=True).run(image).dq.max()


def test_the_width_of_pixels_in_arcsec(calibrated: Any) -> None:
    """It goes before the ratio; the shape cuts or fills at the far ends."""
    found = ResampleSpecStep(pixel_scale=0.05, pixel_scale_ratio=7).run(calibrated)
    assert pytest.approx(0.05, rel=1e-3) == 3600 * slit_scale(found.meta.wcs, 2)
    whole, cut = (ResampleSpecStep(output_shape=s).run(calibrated) for s in (None, [30, 200]))
    assert (200, 30) == cut.shape
    np.testing.assert_array_equal(whole.data[:200, :30], cut.data)


def test_the_outline_is_as_wide_as_the_slit(calibrated: Any) -> None:
    """And as long as the grid."""
    found = ResampleSpecStep().run(calibrated)
    before, after = (corners_of(m.meta.wcsinfo.s_region) for m in (calibrated, found))
    assert before.shape == after.shape == (4, 2)

    def sides(corners: Any) -> Any:
        steps = np.diff(np.vstack([corners, corners[:1]]), axis=0)
        steps[:, 0] *= np.cos(np.deg2rad(corners[0, 1]))
        return np.sort(np.hypot(*steps.T)) * 3600

    # The outline has nine digits, which is as much as a few microarcseconds.
    assert pytest.approx(sides(before)[0], abs=1e-4) == sides(after)[0]
    assert pytest.approx((found.shape[1] - 1) * SCALE, rel=0.02) == sides(after)[-1]


def test_a_pipeline_without_it_extracts_from_the_calibrated_image(calibrated: Any) -> None:
    """There is no rectified product, and the spectrum says that it was left out."""
    left_out = Spec2Pipeline(
        steps={
            "resample_spec": {"skip": True},
            **{name: {"skip": True} for name in ("flat_field", "photom", "assign_wcs")},
        }
    ).run(calibrated)

    assert left_out.rectified is None
    assert "SKIPPED" == left_out.spectra.meta.cal_step.resample


def test_apertures_in_arcsec(calibrated: Any, tmp_path: Path) -> None:
    """Sizes of the APCORR table are angles: here each arcsec adds a tenth."""
    reference = models.MirLrsApcorrModel()
    table = lrs.apcorr_rows(reference, ["FULL"])
    sizes = np.arange(table["size"].shape[1])
    table["size"], table["apcorr"] = sizes, 1 + 0.1 * sizes
    reference.apcorr_table, reference.sizeunit = table, "arcsec"
    for name, value in {"reftype": "APCORR", "instrument.name": "MIRI"}.items():
        reference.set(f"meta.{name}", value)
    path = str(reference.save(tmp_path / "apcorr.fits"))
    for ratio in (1.0, 2.0):
        image = ResampleSpecStep(pixel_scale_ratio=ratio).run(calibrated)
        one, other = (
            Extract1dStep(override_apcorr=path, apply_apcorr=applied).run(image).spec[0].spec_table
            for applied in (True, False)
        )
        good = np.isfinite(other["FLUX"])
        width = other["NPIXELS"] * 3600 * slit_scale(image.meta.wcs, 2)
        expected = other["FLUX"] * (1 + 0.1 * width)
        np.testing.assert_allclose(expected[good], one["FLUX"][good], rtol=1e-6)


# --- what is refused --------------------------------------------------------------------------------


def test_other_exposures_are_refused(calibrated: Any) -> None:
    """By their type; without coordinates; without wavelengths."""
    slitless = calibrated.copy()
    slitless.meta.exposure.type = "MIR_LRS-SLITLESS"
    with pytest.raises(InputError, match=r"MIR_LRS-SLITLESS are not supported, allowed: MIR_LRS-F"):
        ResampleSpecStep().run(slitless)
    nowhere = calibrated.copy()
    nowhere.meta.wcs = None
    with pytest.raises(InputError, match=r"no gwcs or no DISPAXIS. Run assign_wcs"):
        ResampleSpecStep().run(nowhere)
    dark = calibrated.copy()
    dark.meta.wcs.bounding_box = ((300, 340), (1000, 1010))
    with pytest.raises(InputError, match="0 rows with a wavelength, allowed: 2 or more"):
        ResampleSpecStep().run(dark)


def test_grids_of_files_that_are_none(calibrated: Any, tmp_path: Path) -> None:
    """Not there, without a gwcs, or with that of an image."""
    from astropy.modeling.models import Identity
    from gwcs import WCS
    from gwcs.coordinate_frames import Frame2D

    flat = WCS([(Frame2D(name="detector"), Identity(2)), (Frame2D(name="world"), None)])
    flat.array_shape = (20, 30)
    for number, (tree, message) in enumerate(
        (({}, "no gwcs"), ({"wcs": flat}, "2 world axes, allowed: 3"))
    ):
        path = tmp_path / f"{number}.asdf"
        asdf.AsdfFile(tree).write_to(path)
        with pytest.raises(InputError, match=message):
            ResampleSpecStep(output_wcs=str(path)).run(calibrated)
    with pytest.raises(InputError, match="no readable ASDF file"):
        ResampleSpecStep(output_wcs=str(tmp_path / "none.asdf")).run(calibrated)
    with pytest.raises(ParameterError, match="fillval: found 'x', allowed: a number or NAN"):
        ResampleSpecStep(fillval="x").run(calibrated)
