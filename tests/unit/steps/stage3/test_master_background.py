"""The spectrum of the background, from extracted spectra to the pixels that it is subtracted from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest
import sliced_light
import stars_in_slits

from stpipe import models
from stpipe.errors import InputError, ParameterError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.pipelines.spec3 import Spec3Pipeline
from stpipe.steps.stage3.master_background import MasterBackgroundStep

LIMITS = (1.0, 1.6)  # um, of the spectrum of the background


def sky(waves: Any) -> Any:
    """Surface brightness of the background, MJy/sr; linear, so that nothing is lost between samples."""
    return 3 + 2 * np.asarray(waves, np.float64)


def spectrum(
    column: str = "SURF_BRIGHT",
    kind: str = "NRS_FIXEDSLIT",
    limits: tuple[float, float] = LIMITS,
    scale: float = 1.0,
    seconds: float = 100.0,
) -> Any:
    """An extracted spectrum that has the background in one of its columns."""
    model: Any = models.MRSMultiSpecModel() if kind == "MIR_MRS" else models.MultiSpecModel()
    model.spec.append({})
    part = model.spec[0]
    table = np.zeros(61, part.schema.arrays["spec_table"].dtype)
    table["WAVELENGTH"] = np.linspace(*limits, 61)
    table["FLUX"], table["SURF_BRIGHT"], table["BACKGROUND"] = 1, 100, 100
    table[column] = scale * sky(table["WAVELENGTH"])
    part.spec_table = table
    part.source_type = "EXTENDED"
    model.meta.exposure.type, model.meta.exposure.exposure_time = kind, seconds
    model.meta.observation.bkgdtarg = True
    return model


@pytest.fixture
def background(tmp_path: Path) -> str:
    """The file of such a spectrum."""
    return str(spectrum().save(tmp_path / "sky_x1d.fits"))


def slit_image() -> Any:
    """The image of a slit, with a wavelength for each row, NaN in one; light of the sky and 7 more."""
    waves = np.tile(np.linspace(0.95, 1.65, 36)[:, None], (1, 6))
    waves[5] = np.nan
    image: Any = models.ImageModel((sky(waves) + 7).astype(np.float32))
    image.wavelength = waves.astype(np.float32)
    image.data = np.where(np.isnan(waves), np.float32(5), image.data)
    image.err = np.full(waves.shape, 0.5, np.float32)
    image.dq = np.zeros(waves.shape, np.uint32)
    image.dq[20, 2] = dqflags.SATURATED
    image.meta.exposure.type, image.meta.instrument.name = "MIR_LRS-FIXEDSLIT", "MIRI"
    image.meta.target.source_type = "POINT"
    image.meta.filename = "x_cal.fits"
    return image


def inside(waves: Any, limits: tuple[float, float] = LIMITS) -> Any:
    return (waves >= limits[0]) & (waves <= limits[1])


def test_the_background_is_subtracted_exactly(background: str) -> None:
    """Where its spectrum reaches; other pixels of a slit are not used. Errors and flags stay."""
    image = slit_image()
    (found,) = MasterBackgroundStep(bkg_list=[background]).run(image)

    reached = inside(image.wavelength)
    assert 0.8 < reached.mean() < 0.9
    np.testing.assert_allclose(7, found.data[reached], rtol=1e-6)
    np.testing.assert_array_equal(image.err[reached], found.err[reached])
    np.testing.assert_array_equal(image.dq[reached], found.dq[reached])
    assert np.isnan(found.data[~reached]).all()
    assert (found.dq[~reached] == dqflags.DO_NOT_USE).all()
    assert "COMPLETE" == found.meta.cal_step.master_background
    record = found.provenance[-1]
    assert "sky_x1d.fits" == record["references"]["background_1"]["name"]


def test_spectra_are_weighted_by_exposure_times(tmp_path: Path) -> None:
    """Twice the light in a third of the time: 4/3 of it on average."""
    given = [spectrum(seconds=200.0), spectrum(scale=2.0)]
    paths = [str(one.save(tmp_path / f"{n}_x1d.fits")) for n, one in enumerate(given)]
    image = slit_image()
    (found,) = MasterBackgroundStep(bkg_list=paths).run(image)

    reached = inside(image.wavelength)
    expected = image.data - 4 / 3 * sky(image.wavelength)
    np.testing.assert_allclose(expected[reached], found.data[reached], rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "aside", "source", "column"),
    [
        ("NRS_FIXEDSLIT", True, "EXTENDED", "SURF_BRIGHT"),
        ("NRS_FIXEDSLIT", None, "EXTENDED", "SURF_BRIGHT"),
        ("NRS_FIXEDSLIT", False, "EXTENDED", "BACKGROUND"),
        ("NRS_IFU", True, "POINT", "SURF_BRIGHT"),
        ("NRS_IFU", True, "EXTENDED", "BACKGROUND"),
        ("MIR_MRS", True, "POINT", "BACKGROUND"),
    ],
)
def test_the_column_that_has_the_background(
    tmp_path: Path, kind: str, aside: bool | None, source: str, column: str
) -> None:
    """That of the aperture where it saw nothing else."""
    given = spectrum(column, kind)
    given.meta.observation.bkgdtarg, given.spec[0].source_type = aside, source
    path = str(given.save(tmp_path / "sky_x1d.fits"))
    image = slit_image()
    (found,) = MasterBackgroundStep(bkg_list=[path]).run(image)
    np.testing.assert_allclose(7, found.data[inside(image.wavelength)], rtol=1e-6)


@pytest.mark.parametrize(("kernel", "worst"), [(1, 1000), (3, 0.03)])
def test_a_running_median_takes_spikes_out(tmp_path: Path, kernel: int, worst: float) -> None:
    """Without it they are subtracted, too."""
    given = spectrum()
    table = given.spec[0].spec_table.copy()
    table["SURF_BRIGHT"][[21, 41]] += 1000  # at wavelengths of pixels
    given.spec[0].spec_table = table
    path = str(given.save(tmp_path / "spiky_x1d.fits"))
    image = slit_image()
    (found,) = MasterBackgroundStep(bkg_list=[path], median_kernel=kernel).run(image)
    left = np.abs(found.data[inside(image.wavelength)] - 7).max()
    # Of a straight line the median at a spike is the next sample, and half a step at the ends.
    assert pytest.approx(worst, rel=0.4) == left


MODELS = ("MultiCombinedSpecModel", "MultiSpecModel", "MRSMultiSpecModel")


@pytest.mark.parametrize("model", MODELS)
def test_a_spectrum_of_the_user(tmp_path: Path, background: str, model: str) -> None:
    """Combined, as it is saved, or extracted; it goes before the others."""
    image = slit_image()
    path = Path(background)
    if model == "MultiCombinedSpecModel":
        given = {"save_background": True, "output_dir": str(tmp_path)}
        MasterBackgroundStep(bkg_list=[background], **given).run(image)
        path = next(tmp_path.glob("*_masterbg1d.fits"))
    elif model == "MRSMultiSpecModel":
        path = spectrum(kind="MIR_MRS").save(path)
    other = str(spectrum(scale=9.0).save(tmp_path / "other_x1d.fits"))
    step = MasterBackgroundStep(bkg_list=[other], user_background=str(path))
    (found,) = step.run(image)

    with models.open(path) as opened:
        assert model == type(opened).__name__
    np.testing.assert_allclose(7, found.data[inside(image.wavelength)], rtol=1e-6)
    assert path.name == found.meta.background.master_background_file


def test_what_is_subtracted_is_saved(tmp_path: Path, background: str) -> None:
    """The spectrum, and the light of each pixel of each slit in one file."""
    exposure = dithered_slits.exposures()[0]
    exposure.slits[0].source_type = "EXTENDED"
    step = MasterBackgroundStep(bkg_list=[background], save_background=True)
    step.use(output_dir=str(tmp_path))
    (found,) = step.run(exposure)

    with models.open(next(tmp_path.glob("*_masterbg1d.fits"))) as master:
        table = master.spec[0].spec_table
        np.testing.assert_allclose(sky(table["WAVELENGTH"]), table["SURF_BRIGHT"])
    with models.open(next(tmp_path.glob("*_masterbg2d.fits"))) as images:
        assert ["S200A1", "S200A2"] == [part.name for part in images.exposures]
        for before, after, image in zip(exposure.slits, found.slits, images.exposures, strict=True):
            used = (after.dq & 1) == 0
            assert used.mean() > 0.2
            np.testing.assert_array_equal((before.data - image.data)[used], after.data[used])
            assert exposure.meta.filename == image.meta.filename


# --- point sources ---------------------------------------------------------------------------------


def with_corrections(slit: Any) -> dict[str, float]:
    """Corrections of a point source and of even light; factors by the name of their array."""
    factors = {
        "pathloss_point": 0.8,
        "pathloss_uniform": 0.9,
        "flatfield_point": 1.1,
        "flatfield_uniform": 1.0,
        "photom_point": 2e-13,
        "photom_uniform": 0.5,
    }
    for name, value in factors.items():
        slit.set(name, np.full(slit.shape, value, np.float32))
    return factors


def test_the_background_of_a_point_source_in_a_slit(background: str) -> None:
    """As if the light that fills the slit had been calibrated as the point was."""
    exposure = dithered_slits.exposures()[0]
    point, even = exposure.slits
    f = with_corrections(point)
    point.data = np.full(point.shape, 1e-9, np.float32)  # MJy
    (found,) = MasterBackgroundStep(bkg_list=[background]).run(exposure)

    ratio = f["pathloss_uniform"] / f["pathloss_point"] * f["flatfield_uniform"]
    ratio *= f["photom_point"] / f["photom_uniform"] / f["flatfield_point"]
    for before, after, scale in zip((point, even), found.slits, (ratio, 1.0), strict=True):
        reached = inside(before.wavelength) & (after.dq & 1 == 0)
        expected = before.data - scale * sky(before.wavelength)
        assert reached.mean() > 0.2
        np.testing.assert_allclose(expected[reached], after.data[reached], rtol=1e-5)


def test_corrections_that_were_not_made_do_not_count(background: str) -> None:
    """Losses and flats may have been left out; photometry gives the unit."""
    exposure = dithered_slits.exposures()[0]
    (point, _) = exposure.slits
    f = with_corrections(point)
    point.pathloss_point = None
    point.photom_uniform[:, 30] = 0
    point.data = np.full(point.shape, 1e-9, np.float32)
    (found,) = MasterBackgroundStep(bkg_list=[background]).run(exposure)
    after = found.slits[0]

    ratio = f["flatfield_uniform"] / f["flatfield_point"] * f["photom_point"] / f["photom_uniform"]
    reached = inside(point.wavelength) & (after.dq & 1 == 0)
    expected = point.data - ratio * sky(point.wavelength)
    np.testing.assert_allclose(expected[reached], after.data[reached], rtol=1e-5)
    assert np.isnan(after.data[:, 30]).all(), "a conversion of 0 is none"


def test_a_point_source_without_its_conversion(
    background: str, caplog: pytest.LogCaptureFixture
) -> None:
    """MJy/sr is not subtracted from MJy: all exposures stay as they are."""
    first, second = dithered_slits.exposures()[:2]
    with_corrections(first.slits[0])
    found = MasterBackgroundStep(bkg_list=[background]).run([first, second])
    assert "slit S200A1 is in MJy of a point source and lacks PHOTOM_PS" in caplog.text
    for before, after in zip((first, second), found, strict=True):
        assert "SKIPPED" == after.meta.cal_step.master_background
        np.testing.assert_array_equal(before.slits[1].data, after.slits[1].data)


# --- integral fields -------------------------------------------------------------------------------


def field(kind: str) -> tuple[Any, Any, tuple[float, float]]:
    """An exposure filled with the light of the sky, its wavelengths, and limits of a spectrum."""
    exposure = sliced_light.exposure()
    rows, columns = np.indices(sliced_light.SHAPE).astype(float)
    waves = np.asarray(exposure.meta.wcs(columns, rows)[2])
    exposure.data = np.where(np.isnan(waves), 1, sky(waves)).astype(np.float32)
    exposure.meta.exposure.type = kind
    if kind == "NRS_IFU":
        exposure.wavelength = waves.astype(np.float32)
        exposure.meta.instrument.name = "NIRSPEC"
    return exposure, waves, (sliced_light.LEAST + 0.009, sliced_light.LEAST + 0.051)


@pytest.mark.parametrize("kind", ["MIR_MRS", "NRS_IFU"])
def test_pixels_of_slices_beyond_the_spectrum_stay(tmp_path: Path, kind: str) -> None:
    """Nothing is subtracted from them, and they may be used."""
    exposure, waves, limits = field(kind)
    column = "BACKGROUND"
    path = str(spectrum(column, kind, limits).save(tmp_path / "sky_x1d.fits"))
    (found,) = MasterBackgroundStep(bkg_list=[path]).run(exposure)

    reached = inside(waves, limits)
    assert 0.1 < reached.mean() < 0.7
    np.testing.assert_allclose(0, found.data[reached], atol=3e-6)
    np.testing.assert_array_equal(exposure.data[~reached], found.data[~reached])
    assert not found.dq.any()


@pytest.mark.parametrize(("source", "scale"), [("POINT", 0.9 / 0.8), ("EXTENDED", 1.0)])
def test_the_background_of_a_point_source_in_a_field(
    tmp_path: Path, source: str, scale: float
) -> None:
    """Its light is corrected for losses of a point."""
    exposure, waves, limits = field("NRS_IFU")
    exposure.meta.target.source_type = source
    for name, value in (("pathloss_point", 0.8), ("pathloss_uniform", 0.9)):
        exposure.set(name, np.full(waves.shape, value, np.float32))
    path = str(spectrum("BACKGROUND", "NRS_IFU", limits).save(tmp_path / "sky_x1d.fits"))
    (found,) = MasterBackgroundStep(bkg_list=[path]).run(exposure)
    reached = inside(waves, limits)
    expected = sky(waves) * (1 - scale)
    np.testing.assert_allclose(expected[reached], found.data[reached], atol=1e-5)


# --- when nothing is subtracted --------------------------------------------------------------------


@pytest.mark.parametrize("step", ["bkg_subtract", "master_background"])
def test_a_background_is_subtracted_once(
    background: str, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it is forced; and not from some exposures alone."""
    done, other = slit_image(), slit_image()
    done.set(f"meta.cal_step.{step}", "COMPLETE")
    done.meta.filename = "done_cal.fits"
    for given in ([done, done], [done, other], [other, done]):
        caplog.clear()
        found = MasterBackgroundStep(bkg_list=[background]).run(given)
        for before, after in zip(given, found, strict=True):
            np.testing.assert_array_equal(before.data, after.data)
            assert "SKIPPED" == after.provenance[-1]["status"]
        warned = "subtracted before from done_cal.fits, not from the others" in caplog.text
        assert warned == (other in given)
    forced = MasterBackgroundStep(bkg_list=[background], force_subtract=True)
    for after in forced.run([done, other]):
        np.testing.assert_allclose(7, after.data[inside(done.wavelength)], rtol=1e-6)


def test_shutters_are_left_alone(background: str, caplog: pytest.LogCaptureFixture) -> None:
    """Even if it is forced: they were calibrated for their sources. Fixed slits among them are not."""
    exposure = dithered_slits.exposures()[0]
    exposure.meta.exposure.type = "NRS_MSASPEC"
    for slit in exposure.slits:
        slit.quadrant, slit.source_type = 1, "EXTENDED"
    step = MasterBackgroundStep(bkg_list=[background], force_subtract=True)
    (found,) = step.run(exposure)
    assert "master_background_mos subtracts the background of shutters" in caplog.text
    np.testing.assert_array_equal(exposure.slits[0].data, found.slits[0].data)
    assert "SKIPPED" == found.meta.cal_step.master_background

    exposure.slits[1].quadrant = 5
    (found,) = step.run(exposure)
    np.testing.assert_array_equal(exposure.slits[0].data, found.slits[0].data)
    used = inside(exposure.slits[1].wavelength) & (found.slits[1].dq & 1 == 0)
    expected = exposure.slits[1].data - sky(exposure.slits[1].wavelength)
    np.testing.assert_allclose(expected[used], found.slits[1].data[used], rtol=1e-5, atol=1e-5)


def test_spectra_without_fluxes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = spectrum()
    table = given.spec[0].spec_table.copy()
    table["FLUX"] = np.nan
    given.spec[0].spec_table = table
    image = slit_image()
    path = str(given.save(tmp_path / "none_x1d.fits"))
    (found,) = MasterBackgroundStep(bkg_list=[path]).run(image)
    assert "no spectrum of the background has fluxes" in caplog.text
    np.testing.assert_array_equal(image.data, found.data)


def test_files_that_are_no_spectra_are_refused(tmp_path: Path) -> None:
    path = str(slit_image().save(tmp_path / "x_cal.fits"))
    with pytest.raises(
        InputError, match=r"x_cal.fits holds an ImageModel, allowed: MultiSpecModel"
    ):
        MasterBackgroundStep(bkg_list=[path]).run(slit_image())
    with pytest.raises(InputError, match=r"x_cal.fits holds an ImageModel, allowed: a MultiComb"):
        MasterBackgroundStep(user_background=path).run(slit_image())
    with pytest.raises(ReferenceMissing, match="there is no file"):
        MasterBackgroundStep(bkg_list=["nowhere_x1d.fits"]).run(slit_image())
    with pytest.raises(ParameterError):
        MasterBackgroundStep(median_kernel=0)


# --- associations ----------------------------------------------------------------------------------


def with_members(asn: Path, *names: str) -> Path:
    """The association with background members."""
    content = json.loads(asn.read_text())
    content["products"][0]["members"] += [{"expname": n, "exptype": "background"} for n in names]
    asn.write_text(json.dumps(content))
    return asn


@pytest.mark.parametrize("how", ["run", "call", "library"])
def test_members_of_an_association_are_the_background(
    tmp_path: Path, background: str, how: str
) -> None:
    """However the step is started; what the user names goes before them."""
    made = dithered_slits.exposures()[:2]
    for exposure in made:
        exposure.slits[0].source_type = "EXTENDED"
    asn = with_members(dithered_slits.write(tmp_path, made), Path(background).name)
    if how == "call":
        found = MasterBackgroundStep.call(str(asn))
    else:
        found = MasterBackgroundStep().run(models.ModelLibrary(asn) if how == "library" else asn)
    assert 2 == len(found)
    for before, after in zip(made, found, strict=True):
        slit = after.slits[1]
        used = inside(slit.wavelength) & (slit.dq & 1 == 0)
        expected = before.slits[1].data - sky(before.slits[1].wavelength)
        np.testing.assert_allclose(expected[used], slit.data[used], rtol=1e-5, atol=1e-5)
    other = str(spectrum(scale=0.0).save(tmp_path / "none_x1d.fits"))
    (first, _) = MasterBackgroundStep(bkg_list=[other]).run(asn)
    used = first.slits[1].dq & 1 == 0
    np.testing.assert_array_equal(made[0].slits[1].data[used], first.slits[1].data[used])


def test_a_member_that_is_missing_is_named(tmp_path: Path) -> None:
    asn = with_members(dithered_slits.write(tmp_path), "nowhere_x1d.fits")
    with pytest.raises(InputError, match=r"nowhere_x1d\.fits"):
        Spec3Pipeline().run(asn)


def test_calwebb_spec3_subtracts_it_first(
    tmp_path: Path, background: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slit that has nothing but the sky is empty; the background makes no product of its own."""
    monkeypatch.delenv("CRDS_PATH", raising=False)
    aperture = stars_in_slits.extract1d(tmp_path / "extract1d.json", use_source_posn=False)
    made = dithered_slits.exposures()
    for exposure in made:
        with_corrections(exposure.slits[0])
        slit = exposure.slits[1]
        slit.data = (slit.data - stars_in_slits.SKY + sky(slit.wavelength)).astype(np.float32)
    asn = with_members(dithered_slits.write(tmp_path, made), Path(background).name)
    steps = {"extract_1d": {"override_extract1d": str(aperture), "apply_apcorr": False}}
    found = Spec3Pipeline(steps=steps).run(asn)

    assert ("s000000001-s200a1", "s000000012-s200a2") == found.sources.labels
    assert 3 == len(found.sources[1].exposures)
    left = found.rectified[1].data
    assert abs(np.nanmedian(left)) < 0.1
    assert "COMPLETE" == found.spectra[1].meta.cal_step.master_background
