"""Spectra: the sums, the aperture, the source, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stpipe import models
from stpipe.demo import lrs
from stpipe.demo.headers import keywords
from stpipe.demo.observation import SPECTRA
from stpipe.errors import InputError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.science.spectra.aperture import Aperture, Limits, centre, find_aperture
from stpipe.science.spectra.box_extraction import Background, extract, smooth
from stpipe.steps.stage2.assign_wcs import AssignWcsStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.srctype import SourceTypeStep, source_type

SLITS = {plan.slit.kind: plan for plan in SPECTRA if plan.slit}
ALONG, ACROSS = 7, 24


def region(fit: str = "poly", order: int = 0, smoothing: int = 0) -> Background:
    """Both sides of the image."""
    where = np.zeros((ALONG, ACROSS))
    where[:, :6] = where[:, -5:] = 1
    return Background(where, fit, order, smoothing)


def box(first: float, last: float) -> Any:
    aperture = Aperture(Limits(0, ALONG - 1), Limits(first, last))
    return aperture.weights(np.full((ALONG, ACROSS), 5.0))[0]


seeds = st.integers(0, 2**32 - 1)
orders = st.integers(0, 3)


# --- sums ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=seeds, order=orders, smoothing=st.sampled_from([0, 3, 5]), first=st.floats(8, 11))
def test_a_polynomial_background_is_taken_away(
    seed: int, order: int, smoothing: int, first: float
) -> None:
    """What is a polynomial across the dispersion leaves nothing; the light on it stays."""
    rng = np.random.default_rng(seed)
    across = np.polynomial.polynomial.polyval(
        np.linspace(-1, 1, ACROSS), rng.normal(size=order + 1)
    )
    weights = box(first, first + 4.5)
    star = np.zeros((2, ALONG, ACROSS))
    star[..., 9:14] = rng.uniform(1, 2, (2, ALONG, 5))
    none = {"rnoise": np.ones(star.shape)}

    found = extract(star + across, none, weights, region("poly", order, smoothing))

    np.testing.assert_allclose((star * weights).sum(axis=-1), found.flux, atol=1e-9)
    np.testing.assert_allclose((across * weights).sum(axis=-1) + 0 * star[..., 0], found.background)
    np.testing.assert_allclose(found.npixels, 5.5)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, order=orders)
def test_variances_follow_from_the_pixels(seed: int, order: int) -> None:
    """The flux is a sum of pixels with factors; its variance has their squares."""
    rng = np.random.default_rng(seed)
    image, variance = rng.normal(size=(2, ALONG, ACROSS))
    variance = variance**2
    image[rng.random(image.shape) < 0.05] = np.nan
    weights = box(8.3, 14.1)
    weights[np.isnan(image)] = 0

    def flux(values: Any) -> Any:
        return extract(values, {"x": variance}, weights, region("poly", order)).flux

    factors = np.zeros(image.shape)
    for pixel in range(ACROSS):
        moved = image.copy()
        moved[:, pixel] += 1.0
        factors[:, pixel] = np.nan_to_num(flux(moved) - flux(image))

    found = extract(image, {"x": variance}, weights, region("poly", order))
    np.testing.assert_allclose((factors**2 * variance).sum(axis=-1), found.variance["x"])


def test_errors_are_those_of_many_trials() -> None:
    """The scatter of fluxes of noisy images is what the variances say, also of medians."""
    rng = np.random.default_rng(5)
    image = rng.normal(3, 0.5, (4000, ALONG, ACROSS))
    variance = {"x": np.full(image.shape, 0.25)}
    for fit, tolerance in (("poly", 0.02), ("median", 0.05)):
        found = extract(image, variance, box(9, 14), region(fit))
        scatter = found.flux.std(axis=0).mean()
        assert pytest.approx(scatter, rel=tolerance) == np.sqrt(found.variance["x"]).mean()


def test_missing_pixels() -> None:
    """They do not count; a row without any has no flux, one without background none to subtract."""
    image = np.ones((ALONG, ACROSS))
    image[1, 10] = image[2, 9:15] = np.nan
    image[3, :6] = image[3, -5:] = np.nan
    variance = {"x": np.where(np.isnan(image), np.nan, 1.0)}

    found = extract(image, variance, box(9, 14), region())
    np.testing.assert_allclose([6, 5, 0, 6], found.npixels[:4])
    np.testing.assert_allclose([0, 0, np.nan, 6], found.flux[:4], atol=1e-12)
    assert np.isfinite(found.variance["x"]).all()
    median = extract(image, variance, box(9, 14), region("median"))
    np.testing.assert_allclose([0, 0, np.nan, np.nan], median.flux[:4], atol=1e-12)


def test_smoothing_is_a_mean_of_neighbours_along_the_dispersion() -> None:
    """NaN does not count; the ends go on as they are."""
    image = np.array([[1.0], [2.0], [np.nan], [6.0], [7.0]])

    np.testing.assert_allclose([[4 / 3], [1.5], [4.0], [6.5], [20 / 3]], smooth(image, 3))
    assert smooth(image, 0) is image


# --- apertures --------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(first=st.floats(2, 10), width=st.floats(1, 9), offset=st.floats(-2, 2))
def test_weights_add_up_to_the_width(first: float, width: float, offset: float) -> None:
    """Wherever the limits are in a pixel; and an aperture that is moved has its centre moved."""
    limits = Limits(first + 2, first + 1 + width)
    aperture = Aperture(Limits(0, ALONG - 1), limits)
    wavelength = np.full((ALONG, ACROSS), 5.0)
    weights, _ = aperture.weights(wavelength)
    moved, _ = aperture.shifted(offset).weights(wavelength)

    np.testing.assert_allclose(weights.sum(axis=1), width)
    np.testing.assert_allclose(moved.sum(axis=1), width)
    # Fractions of pixels at both ends shift the centre by no more than an eighth of a pixel each.
    shift = centre(moved)[1] - centre(weights)[1]
    assert abs(shift - offset) < 0.3


def test_an_aperture_follows_a_trace() -> None:
    """Its middle is the trace; where the trace is not known, or there is no wavelength, is nothing."""
    trace = np.array([np.nan, 10, 10.5, 11, 12, 13, 14])
    wavelength = np.full((ALONG, ACROSS), 5.0)
    wavelength[-1] = np.nan
    aperture = Aperture(Limits(0, ALONG - 1), Limits(0, 5), width=3.0, trace=trace)
    weights, limits = aperture.weights(wavelength)

    sums = weights.sum(axis=1)
    np.testing.assert_allclose([0, 3, 3, 3, 3, 3, 0], sums)
    middles = (weights * np.arange(ACROSS)).sum(axis=1)[1:-1] / sums[1:-1]
    np.testing.assert_allclose(trace[1:-1], middles)
    assert pytest.approx(np.nanmean(trace)) == limits.middle


def read(folder: Path, *entries: dict[str, Any], order: int = 1) -> Aperture | None:
    path = folder / "extract1d.json"
    path.write_text(json.dumps({"apertures": [{"id": "SLIT", **e} for e in entries]}))
    return find_aperture(path, "SLIT", order, (ALONG, ACROSS), 2)


def test_reference_files_are_read_with_their_defaults(tmp_path: Path) -> None:
    """The order decides; lengths become odd; a mean is a polynomial of degree 0."""
    background = {"region_type": "background", "xstart": 1}
    second = {"spectral_order": 2, "xstart": 3}
    first = {"xstart": 4, "xstop": 6, "ystart": 2, "smoothing_length": 6, "bkg_fit": "mean"}
    assert read(tmp_path, background, second, order=3) is None
    found = read(tmp_path, background, second, first)

    assert found is not None
    assert (Limits(4, 6), Limits(2, ALONG - 1)) == (found.across, found.along)
    assert ("poly", 0, 5) == (found.bkg_fit, found.bkg_order, found.smoothing_length)
    assert found.region(np.ones((ALONG, ACROSS))) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no EXTRACT1D reference file in JSON"),
        ("[]", "is no EXTRACT1D reference file in JSON"),
        ('{"apertures": [{"id": "OTHER"}]}', "no aperture for SLIT; it has OTHER"),
        ('{"apertures": [{"id": "SLIT", "src_coeff": [[1], [2], [3]]}]}', "3 polynomials"),
    ],
)
def test_what_is_no_reference_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    """Named, with what was found."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ReferenceMissing, match=message):
        find_aperture(path, "SLIT", 1, (ALONG, ACROSS), 2)


# --- the step ---------------------------------------------------------------------------------------

Exposure = Callable[..., Any]


@pytest.fixture(scope="module")
def spectra_crds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The references of MIRI's prism without slit."""
    from stpipe.demo.crds_cache import write_crds_cache

    folder = tmp_path_factory.mktemp("crds")
    list(write_crds_cache(folder, SPECTRA[:1]))
    return folder


@pytest.fixture
def exposure(spectra_crds: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rates of a star without noise, and no slit."""
    monkeypatch.setenv("CRDS_PATH", str(spectra_crds))
    monkeypatch.setenv("CRDS_READONLY_CACHE", "1")
    return rates(SLITS["SLITLESS"])


def rates(plan: Any) -> Any:
    image = models.ImageModel()
    light = lrs.light(plan.detector, plan.subarray, plan.slit, 0.5)
    image.data = (light / plan.detector.gain).astype(np.float32)
    for path, value in keywords(plan).items():
        image.set(path, value)
    image.var_poisson = image.data / 100
    image.var_rnoise = np.full_like(image.data, 0.1)
    image.err = np.sqrt(image.var_poisson + image.var_rnoise)
    return image


def test_the_table_of_rates_and_of_fluxes(exposure: Any, tmp_path: Path) -> None:
    """Without photom DN/s; with it Jy and MJy/sr, by the solid angle of a pixel; units say so."""
    steps = {"photom": {"skip": True}}
    plain = Spec2Pipeline(steps=steps).run(exposure).spectra.spec[0]
    calibrated = Spec2Pipeline(steps={"extract_1d": {"apply_apcorr": False}}).run(exposure)
    spectrum = calibrated.spectra.spec[0]

    assert ("DN/s", "DN/s") == tuple(plain.units("spec_table")[n] for n in ("FLUX", "SURF_BRIGHT"))
    units = spectrum.units("spec_table")
    assert ("um", "Jy", "Jy^2") == tuple(units[n] for n in ("WAVELENGTH", "FLUX", "FLUX_VAR_FLAT"))
    assert "DQ" not in units
    table = spectrum.spec_table
    area = calibrated.calibrated.meta.photometry.pixelarea_steradians
    np.testing.assert_allclose(table["FLUX"], table["SURF_BRIGHT"] * table["NPIXELS"] * area * 1e6)
    total = sum(table[f"FLUX_VAR_{n}"] for n in ("POISSON", "RNOISE", "FLAT"))
    np.testing.assert_allclose(table["FLUX_ERROR"] ** 2, total)
    path = calibrated.spectra.save(tmp_path / "x_x1d.fits")
    with models.open(path) as again:
        assert units == again.spec[0].units("spec_table")
        waves = again.spec[0].meta.wcs(np.arange(3.0))[2]
        np.testing.assert_allclose(table["WAVELENGTH"][:3], waves)
    with models.open(path) as once_more:
        other = models.open(once_more.save(tmp_path / "y_x1d.fits"))
        assert units == other.spec[0].units("spec_table")


def test_the_aperture_correction_is_for_points(exposure: Any) -> None:
    """It scales flux and error alike, and leaves the background; extended sources have none."""
    found = {}
    for kind in ("POINT", "EXTENDED"):
        steps = {"srctype": {"source_type": kind}}
        found[kind] = Spec2Pipeline(steps=steps).run(exposure).spectra.spec[0]
    point, extended = (found[kind].spec_table for kind in ("POINT", "EXTENDED"))

    blur = lrs.BLUR["SLITLESS"]
    factor = lrs.aperture_correction(point["NPIXELS"], point["WAVELENGTH"], blur)
    np.testing.assert_allclose(extended["FLUX"] * factor, point["FLUX"], rtol=1e-3)
    np.testing.assert_allclose(
        point["FLUX_ERROR"] / point["FLUX"], extended["FLUX_ERROR"] / extended["FLUX"]
    )
    np.testing.assert_array_equal(extended["BACKGROUND"], point["BACKGROUND"])
    assert ("POINT", "EXTENDED") == tuple(found[k].source_type for k in ("POINT", "EXTENDED"))


def test_integrations_are_rows_with_their_times(exposure: Any) -> None:
    """In blocks or at once; a segment finds its own times, and without a table they are NaN."""
    cube = models.CubeModel()
    cube.update(exposure)
    for name in ("data", "err", "var_poisson", "var_rnoise"):
        image = getattr(exposure, name)
        setattr(cube, name, np.stack([image * (1 + n) for n in range(3)]))
    dtype = cube.schema.arrays["int_times"].dtype
    times = np.zeros(9, dtype)
    times["integration_number"] = 1 + np.arange(9)
    times["int_mid_MJD_UTC"] = 60_000 + np.arange(9)
    cube.int_times = times
    cube.meta.exposure.integration_start = 4
    cube.meta.exposure.segment_number = 2
    result = Spec2Pipeline().run(cube).spectra
    table = result.spec[0].spec_table

    assert "TSOMultiSpecModel" == type(result).__name__
    assert [4, 5, 6] == list(table["INT_NUM"])
    assert [60_003, 60_004, 60_005] == list(table["MJD-AVG"])
    assert {2} == set(table["SEGMENT"])
    assert {table["FLUX"].shape[1]} == set(table["N_ALONGDISP"])
    np.testing.assert_allclose(table["FLUX"][2], 3 * table["FLUX"][0], rtol=1e-5)

    cube.int_times = times[:2]
    assert np.isnan(Spec2Pipeline().run(cube).spectra.spec[0].spec_table["MJD-AVG"]).all()


def test_an_array_of_zeros_is_no_wavelengths(exposure: Any) -> None:
    """Files of jwst may have one; the gwcs tells instead."""
    calibrated, _, spectra = Spec2Pipeline().run(exposure)
    calibrated.wavelength = np.zeros_like(calibrated.wavelength)
    again = Extract1dStep().run(calibrated).spec[0].spec_table

    np.testing.assert_allclose(spectra.spec[0].spec_table["FLUX"], again["FLUX"], rtol=1e-6)


def test_pixels_that_are_not_to_be_used_do_not_count(exposure: Any) -> None:
    """A row whose aperture is gone is NaN and flagged; one pixel less is one pixel less."""
    dq = np.zeros(exposure.shape, np.uint32)
    dq[200, :] = dq[220, 38] = dqflags.DO_NOT_USE
    exposure.dq = dq
    found = Spec2Pipeline().run(exposure).spectra.spec[0]
    first = int(found.extraction_ystart) - 1
    gone, less, other = (found.spec_table[row - first] for row in (200, 220, 240))

    assert (True, dqflags.DO_NOT_USE) == (bool(np.isnan(gone["FLUX"])), gone["DQ"])
    assert (0, 0) == (less["DQ"], other["DQ"])
    assert pytest.approx(1) == other["NPIXELS"] - less["NPIXELS"]


def test_the_profile_can_be_saved(
    exposure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of the pixels, as they were used."""
    monkeypatch.chdir(tmp_path)
    exposure.meta.filename = "x_rate.fits"
    found = Spec2Pipeline(steps={"extract_1d": {"save_profile": True}}).run(exposure)

    with models.open(tmp_path / "x_profile.fits") as profile:
        rows = profile.data.sum(axis=1)
        assert exposure.shape == profile.shape
    counted = found.spectra.spec[0].spec_table["NPIXELS"]
    assert pytest.approx(rows[rows > 0].max()) == counted.max()
    assert (counted < rows[rows > 0] + 1e-4).all()  # pixels without a flat are not there


def test_what_cannot_be_extracted_is_refused(exposure: Any) -> None:
    """Other modes, no coordinates, no solid angle, no row for the subarray, no wavelengths."""
    with pytest.raises(InputError, match=r"has no gwcs or no DISPAXIS\. Run assign_wcs"):
        Extract1dStep().run(exposure)
    image = SourceTypeStep().run(AssignWcsStep().run(exposure))
    image.meta.cal_step.photom = "COMPLETE"
    with pytest.raises(InputError, match="PIXAR_SR"):
        Extract1dStep().run(image)
    image.meta.cal_step.photom = None
    other = image.copy()
    other.meta.subarray.name = "SUB64"
    with pytest.raises(ReferenceMissing, match="0 rows for subarray SUB64"):
        Extract1dStep().run(other)
    image.wavelength = np.full(image.shape, np.nan, np.float32)
    with pytest.raises(InputError, match="no pixel of the aperture has a wavelength"):
        Extract1dStep().run(image)
    image.meta.exposure.type = "NRS_FIXEDSLIT"
    with pytest.raises(InputError, match=r"calwebb_spec2: .*NRS_FIXEDSLIT are not supported"):
        Spec2Pipeline().run(image)
    image.meta.exposure.type = "NIS_SOSS"
    with pytest.raises(InputError, match=r"NIS_SOSS are not supported, allowed: MIR_LRS"):
        Extract1dStep().run(image)


def test_parameters_go_before_the_reference(exposure: Any) -> None:
    """Background off; an offset that is as large as the aperture finds no star."""

    def flux(**parameters: Any) -> Any:
        run = Spec2Pipeline(steps={"extract_1d": parameters}).run(exposure)
        return run.spectra.spec[0].spec_table

    usual, raw = flux(), flux(subtract_background=False)
    assert (raw["FLUX"] > usual["FLUX"]).all()
    assert not raw["BACKGROUND"].any()
    beside = flux(position_offset=12.0, subtract_background=False, apply_apcorr=False)
    assert (beside["FLUX"] < 0.3 * raw["FLUX"]).all()
    linear = flux(bkg_order=1, smoothing_length=5)
    np.testing.assert_allclose(linear["FLUX"], usual["FLUX"], rtol=0.01)


# --- source types ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"meta.exposure.type": "MIR_LRS-FIXEDSLIT"}, "POINT"),
        ({"meta.exposure.type": "NRS_IFU"}, "EXTENDED"),
        ({"meta.exposure.type": "NRS_MSASPEC", "stellarity": 0.8}, "POINT"),
        ({"meta.exposure.type": "NRS_MSASPEC", "stellarity": 0.3}, "EXTENDED"),
        ({"meta.exposure.type": "NRS_MSASPEC"}, "POINT"),
        ({"meta.exposure.type": "NIS_WFSS", "is_extended": True}, "EXTENDED"),
        ({"meta.exposure.type": "NIS_WFSS"}, "POINT"),
        (
            {
                "meta.exposure.type": "NRS_FIXEDSLIT",
                "meta.instrument.fixed_slit": "S200A1",
                "name": "S200A2",
                "meta.target.source_type_apt": "POINT",
            },
            "EXTENDED",
        ),
    ],
)
def test_source_types(meta: dict[str, Any], expected: str) -> None:
    """By mode; those of one target are held against the peer."""
    assert expected == source_type(meta)


def test_images_have_no_source_type() -> None:
    """Skipped, with the reason; a time series of images has a point."""
    image = models.ImageModel(np.ones((4, 4), np.float32))
    image.meta.exposure.type = "NRC_IMAGE"
    left = SourceTypeStep().run(image)
    assert "no source type" in left.provenance[-1]["reason"]
    image.meta.exposure.type, image.meta.exposure.nints = "NRC_TSIMAGE", 3
    assert "POINT" == SourceTypeStep().run(image).meta.target.source_type
