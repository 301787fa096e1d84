"""Spectra of the prism: rates, fluxes, integrations, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.demo import lrs
from stpipe.demo.headers import keywords
from stpipe.demo.observation import SPECTRA
from stpipe.errors import InputError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.srctype import SourceTypeStep

SLITS = {plan.spectrum.kind: plan for plan in SPECTRA if plan.spectrum}


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
    light = lrs.light(plan.detector, plan.subarray, plan.spectrum, 0.5)
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
    image.meta.exposure.type = "NRC_TSGRISM"
    with pytest.raises(InputError, match=r"calwebb_spec2: .*NRC_TSGRISM are not supported"):
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
