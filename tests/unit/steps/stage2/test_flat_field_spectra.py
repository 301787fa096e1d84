"""Flats of NIRSpec's spectra: the response that was put in, pixels that are not known, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nirspec_slits
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nirspec_slits import COLUMNS, PLANES, ROWS, place_on_detector, wave

from stpipe import models
from stpipe.errors import InputError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.science.flats.fast_variation import FastVariation, Light
from stpipe.science.flats.spectral import Flat, at_wavelength, combined
from stpipe.steps.stage2.flat_field.step import FlatFieldStep
from stpipe.steps.stage2.wavecorr import WavecorrStep

BAD = dqflags.DO_NOT_USE | dqflags.NO_FLAT_FIELD | dqflags.UNRELIABLE_FLAT
PLANE = nirspec_slits.flat_planes(3, PLANES[:1])[0]  # of the spectrograph, for all wavelengths
CUBE = nirspec_slits.flat_planes(4)  # of the detector


def fore(wavelength: Any) -> Any:
    return 0.4 + 0.2 * wavelength


def spectrograph(wavelength: Any) -> Any:
    return 1.5 - 0.3 * wavelength


def one(wavelength: Any) -> Any:
    return 1 + 0 * wavelength


def shutter(quadrant: int, x: Any, y: Any, wavelength: Any) -> Any:
    return quadrant + 0.01 * x + 0.001 * y + 0.1 * wavelength


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("flats")
    slits = {"S200A2": one, "ANY": fore, "S200A1": one}  # the first that fits counts
    return {
        "fflat": nirspec_slits.fflat(folder / "fflat.fits", slits),
        "quadrants": nirspec_slits.quadrants(folder / "quadrants.fits", shutter),
        "sflat": nirspec_slits.sflat(folder / "sflat.fits", PLANE, {"any": spectrograph}),
        "dflat": nirspec_slits.dflat(
            folder / "dflat.fits", CUBE, {"ANY": one}, np.zeros(PLANE.shape, np.uint32)
        ),
    }


def overrides(references: dict[str, str], fflat: str = "fflat") -> dict[str, str]:
    return {
        "override_fflat": references[fflat],
        "override_sflat": references["sflat"],
        "override_dflat": references["dflat"],
    }


def pixels(slit: Any, wavelength: Any) -> Any:
    """The response of spectrograph and detector to what falls on the pixels of a slit."""
    rows, columns = place_on_detector(slit)
    cube = CUBE[:, rows, columns].astype(float)
    slope = (cube[2] - cube[0]) / (PLANES[2] - PLANES[0])
    detector = cube[0] + slope * (wavelength - PLANES[0])
    return PLANE[rows, columns] * spectrograph(wavelength) * detector


Y, X = np.mgrid[:ROWS, :COLUMNS].astype(float)
LIT = (Y > 1.5) & (Y < 9.5)


def test_the_response_is_that_of_all_three_at_each_wavelength(references: dict[str, str]) -> None:
    """Slits by name, at their place on the detector; errors add in quadrature."""
    exposure = nirspec_slits.fixed_slits()
    step = FlatFieldStep(save_interpolated_flat=True, **overrides(references))
    found = step.run(exposure)
    flats = step.side_products["interpolated_flat"]

    for before, slit, flat in zip(exposure.slits, found.slits, flats.slits, strict=True):
        fast = one if slit.name == "S200A2" else fore
        expected = fast(wave(X, Y)) * pixels(slit, wave(X, Y))
        good = LIT & (before.dq == 0)
        np.testing.assert_allclose(expected[LIT], flat.data[LIT], rtol=2e-6)
        np.testing.assert_allclose((before.data / expected)[good], slit.data[good], rtol=2e-6)
        relative = relative_errors(slit, fast)
        np.testing.assert_allclose((expected * relative)[LIT], flat.err[LIT], rtol=1e-5)
        added = (slit.data * relative)[good] ** 2
        np.testing.assert_allclose(added, slit.var_flat[good], rtol=1e-5)
        assert not (slit.dq[good] & BAD).any()
        assert ((slit.dq[~LIT] & BAD) == BAD).all()  # no wavelength is none that the planes have
        assert np.isnan(slit.data[~good]).all()


def relative_errors(slit: Any, fast: Any) -> Any:
    """Of fore optics, table and pixels of the others."""
    rows, columns = place_on_detector(slit)
    s, d = PLANE[rows, columns], pixels(slit, wave(X, Y)) / PLANE[rows, columns]
    d = d / spectrograph(wave(X, Y))
    terms = [0.01 / fast(wave(X, Y)), 0.01 / spectrograph(wave(X, Y)), 0.005 / s, 0.01, 0.005 / d]
    return np.sqrt(sum(term**2 for term in terms))


def test_shutters_have_spectra_of_their_own(references: dict[str, str]) -> None:
    """Those of their place in the quadrant."""
    exposure = nirspec_slits.shutters()
    found = FlatFieldStep(**overrides(references, "quadrants")).run(exposure)
    for before, slit in zip(exposure.slits, found.slits, strict=True):
        spectrum = shutter(slit.quadrant, slit.xcen, slit.ycen, wave(X, Y))
        expected = before.data / (spectrum * pixels(slit, wave(X, Y)))
        good = LIT & (before.dq == 0)
        np.testing.assert_allclose(expected[good], slit.data[good], rtol=5e-6)
    exposure.slits[0].quadrant = 6
    with pytest.raises(InputError, match="in quadrant 6, of which the fflat reference has 4"):
        FlatFieldStep(**overrides(references, "quadrants")).run(exposure)


def test_fixed_slits_among_shutters_have_references_of_their_own(
    references: dict[str, str],
) -> None:
    """As in an exposure of fixed slits; if none applies they are not used."""
    given, own = overrides(references, "quadrants"), overrides(references)
    alone = FlatFieldStep(**own).run(nirspec_slits.fixed_slits()).slits[0]
    own = nirspec_slits.for_fixed_slits(own)
    exposure = nirspec_slits.shutters_and_fixed_slit()
    *others, fixed = FlatFieldStep(**given, **own).run(exposure).slits
    for name in ("data", "err", "var_flat", "dq", "flatfield_point", "flatfield_uniform"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(fixed, name), name)

    step = FlatFieldStep(**given, **dict.fromkeys(own, "N/A"))
    *same, unknown = step.run(exposure).slits
    assert (unknown.dq & 1 != 0).all()
    assert np.isnan(unknown.data).all()
    for one_slit, other in zip(others, same, strict=True):
        np.testing.assert_array_equal(one_slit.data, other.data)
    del own["override_fixed_slit_sflat"]
    with pytest.raises(
        ReferenceMissing, match=r"a fixed slit among shutters: .*override_fixed_slit"
    ):
        FlatFieldStep(**given, **own).run(exposure)


def test_point_sources_keep_what_light_that_fills_the_slit_would_have(
    references: dict[str, str], tmp_path: Path
) -> None:
    """At its own wavelengths; the data are divided by that of the source."""
    wavecorr = nirspec_slits.wavecorr(tmp_path / "wavecorr.asdf")
    exposure = WavecorrStep(override_wavecorr=wavecorr).run(nirspec_slits.fixed_slits())
    target, *others = FlatFieldStep(**overrides(references)).run(exposure).slits

    good = LIT & np.isfinite(target.data)
    for name, wavelength in (("uniform", wave(X, Y)), ("point", exposure.slits[0].wavelength)):
        expected = fore(wavelength) * pixels(target, wavelength)
        np.testing.assert_allclose(
            expected[LIT], getattr(target, f"flatfield_{name}")[LIT], rtol=2e-6
        )
    assert np.abs(target.flatfield_point - target.flatfield_uniform)[LIT].max() > 1e-4
    divided = exposure.slits[0].data / target.flatfield_point
    np.testing.assert_allclose(divided[good], target.data[good], rtol=1e-6)
    assert not any(slit.has("flatfield_point") for slit in others)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["fixed_slits", "shutters", "bright_object"]), st.booleans())
def test_a_flat_undone_is_the_rate_again(
    references: dict[str, str], kind: str, inverse: bool
) -> None:
    """Whichever way comes first; all integrations have the same flat."""
    exposure = getattr(nirspec_slits, kind)()
    flats = overrides(references, "quadrants" if kind == "shutters" else "fflat")
    there = FlatFieldStep(inverse=inverse, **flats).run(exposure)
    back = FlatFieldStep(inverse=not inverse, **flats).run(there)
    several = hasattr(exposure, "slits")
    pairs = zip(exposure.slits, back.slits, strict=True) if several else [(exposure, back)]
    for before, after in pairs:
        good = np.isfinite(after.data)
        assert good.mean() > 0.5
        for name in ("data", "var_poisson", "var_rnoise"):
            one, other = getattr(before, name)[good], getattr(after, name)[good]
            np.testing.assert_allclose(one, other, rtol=1e-5)


def test_flats_of_a_file_go_by_the_name_of_the_slit(
    references: dict[str, str], tmp_path: Path
) -> None:
    """Whatever their order there; as the step saves them."""
    exposure = nirspec_slits.fixed_slits()
    step = FlatFieldStep(save_interpolated_flat=True, **overrides(references))
    expected = step.run(exposure)
    flats = step.side_products["interpolated_flat"]
    path = flats.save(tmp_path / "x_interpolatedflat.fits")
    with models.open(path) as file:
        kept = [slit.copy() for slit in file.slits]
        file.slits[:] = kept[::-1]
        path = file.save(tmp_path / "turned.fits")
        found = FlatFieldStep(user_supplied_flat=str(path)).run(exposure)
        for one, other in zip(expected.slits, found.slits, strict=True):
            np.testing.assert_array_equal(one.data, other.data)
            np.testing.assert_array_equal(one.dq, other.dq)
        file.slits[:] = kept[:2]
        path = file.save(tmp_path / "few.fits")
    with pytest.raises(InputError, match="no flat of the slit S1600A1; it has S200A1, S200A2"):
        FlatFieldStep(user_supplied_flat=str(path)).run(exposure)


def test_the_slices_of_an_image(references: dict[str, str]) -> None:
    """Each has light of its own; between them nothing is known."""
    image = slices()
    step = FlatFieldStep(save_interpolated_flat=True, **overrides(references))
    found = step.run(image)
    lit, good = image.regions > 0, (image.regions > 0) & (image.dq == 0)
    cube = CUBE.astype(float)
    slope = (cube[2] - cube[0]) / (PLANES[2] - PLANES[0])
    wavelength = image.wavelength
    detector = cube[0] + slope * (wavelength - PLANES[0])
    # The IFU has no names: the first row counts.
    expected = PLANE * spectrograph(wavelength) * detector
    np.testing.assert_allclose((image.data / expected)[good], found.data[good], rtol=5e-6)
    assert np.isnan(found.data[~good]).all()
    assert (found.dq[~lit] == dqflags.DO_NOT_USE).all()
    flat = step.side_products["interpolated_flat"]
    assert "ImageModel" == type(flat).__name__
    np.testing.assert_array_equal(~lit, np.isnan(flat.data))


def slices() -> Any:
    """An image of two slices with tilted spectra."""
    image = models.IFUImageModel()
    nirspec_slits.describe(image, "NRS_IFU")
    shape = nirspec_slits.DETECTOR
    y, x = np.indices(shape).astype(float)
    image.data = np.random.default_rng(2).uniform(5, 9, shape).astype(np.float32)
    image.var_poisson = image.var_rnoise = np.full(shape, 0.1, np.float32)
    image.err = np.sqrt(image.var_poisson + image.var_rnoise)
    image.dq = np.zeros(shape, np.uint32)
    first = (np.abs(y - 30 - 0.02 * x) < 6) & (x > 40)
    second = np.abs(y - 60 - 0.02 * x) < 6
    image.regions = np.select([first, second], [1, 2]).astype(np.int32)
    wavelength = np.where(first, 0.96 + 0.003 * x + 0.0005 * y, 1.0 + 0.0035 * x - 0.0005 * y)
    image.wavelength = np.where(image.regions > 0, wavelength, np.nan).astype(np.float32)
    image.meta.subarray.xstart = image.meta.subarray.ystart = 1
    return image


# --- the parts --------------------------------------------------------------------------------------


def test_the_table_is_averaged_over_each_pixel() -> None:
    """Over its own width, by three points; beyond the table nothing is known."""
    waves = np.linspace(1, 2, 20_001)
    fast = FastVariation(waves, waves**3, waves)
    light = Light.of(np.broadcast_to(np.array([0.99, 1.1, 1.3, 1.5, 1.7, np.nan]), (2, 6)))
    response, error = fast.over(light)
    middle, width = np.array([1.1, 1.3, 1.5]), 0.2
    mean = ((middle + width / 2) ** 4 - (middle - width / 2) ** 4) / (4 * width)
    np.testing.assert_allclose(response[0, 1:4], mean, rtol=1e-7)
    np.testing.assert_allclose(error[0, 1:4], middle, rtol=1e-7)
    assert [0] == np.flatnonzero(np.isnan(response[0])).tolist()
    assert (1, 0) == (response[0, 5], error[0, 5])  # no light at all


def test_entries_without_a_value_are_left_out() -> None:
    """NaN, 0, and wavelengths that are none; the rest is put in order."""
    cells = [(name, "f4", (6,)) for name in ("wavelength", "data", "error")]
    table = np.zeros(1, [("slit_name", "S15"), ("nelem", "i4"), *cells])
    table["nelem"] = 5
    table["wavelength"] = [2, 1, np.nan, 3, 4, 5]
    table["data"] = [2, 1, 7, 0, np.nan, 9]
    fast = FastVariation.of(table)
    assert ([1, 2], [1, 2]) == (fast.wavelength.tolist(), fast.response.tolist())
    with pytest.raises(InputError, match="no row for the slit S400A1 or for ANY"):
        FastVariation.of(table, "S400A1")
    scalars = np.zeros(2, [("wavelength", "f4"), ("data", "f4"), ("error", "f4")])
    scalars["wavelength"] = scalars["data"] = [1, 2]
    assert [1, 2] == FastVariation.of(scalars).response.tolist()


def test_planes_that_are_flagged_and_what_lies_beyond() -> None:
    """Flags of both planes count, but at the wavelength of one only its own; beyond is nothing."""
    dq = np.zeros((3, 1, 5), np.uint32)
    dq[1, 0, 1:3] = dqflags.DO_NOT_USE
    dq[2, 0, 3] = dqflags.UNRELIABLE_FLAT
    cube = Flat(np.full((3, 1, 5), 2.0), dq, np.ones((3, 1, 5)))
    light = Light.of(np.array([[1.5, 1.5, 1.0, 3.0, 3.1]]))
    found = at_wavelength(cube, np.array([1.0, 2.0, 3.0]), light)
    assert [2, 1, 2, 2, 1] == found.response[0].tolist()
    assert [0, 1, 0, dqflags.UNRELIABLE_FLAT, 1] == found.dq[0].tolist()


def test_a_product_of_flats_tells_what_it_does_not_know() -> None:
    """All three flags, the response 1; NaN where it is not positive."""
    dq = np.array([[0, dqflags.NO_FLAT_FIELD, dqflags.UNRELIABLE_FLAT, 0]], np.uint32)
    one = Flat(np.array([[2.0, 2.0, 2.0, -2.0]]), dq, np.full((1, 4), 0.3))
    other = Flat(np.full((1, 4), 4.0), np.zeros((1, 4), np.uint32), np.full((1, 4), 0.8))
    found = combined([one, other])
    np.testing.assert_array_equal(found.response, np.array([[8, 1, 8, np.nan]], np.float32))
    assert [0, BAD, dqflags.UNRELIABLE_FLAT, BAD] == found.dq[0].tolist()
    assert pytest.approx(8 * np.hypot(0.15, 0.2)) == found.error[0, 0]


# --- what is left out or refused --------------------------------------------------------------------


def test_references_that_do_not_apply(references: dict[str, str]) -> None:
    """Without any the step is skipped; one alone is enough, the others count as 1."""
    exposure = nirspec_slits.fixed_slits()
    none = {f"override_{kind}": "N/A" for kind in ("fflat", "sflat", "dflat")}
    left = FlatFieldStep(**none).run(exposure)
    assert "SKIPPED" == left.meta.cal_step.flat_field
    assert "no fflat, sflat, dflat reference applies" in left.provenance[-1]["reason"]
    found = FlatFieldStep(**none | {"override_fflat": references["fflat"]}).run(exposure)
    good = LIT & (exposure.slits[0].dq == 0)
    expected = exposure.slits[0].data / fore(wave(X, Y))
    np.testing.assert_allclose(expected[good], found.slits[0].data[good], rtol=1e-6)
    exposure.meta.exposure.type = "NRS_AUTOFLAT"
    left = FlatFieldStep().run(exposure)
    assert "flats are made of exposures of this type" in left.provenance[-1]["reason"]


def test_what_cannot_be_corrected_is_refused(references: dict[str, str], tmp_path: Path) -> None:
    """Slits that are not cut out, or that should not be; references that do not reach."""
    flats = overrides(references)
    image = models.ImageModel(np.ones((50, 50), np.float32))
    nirspec_slits.describe(image, "NRS_FIXEDSLIT")
    with pytest.raises(InputError, match="has no slits, or does not say"):
        FlatFieldStep(**flats).run(image)
    exposure = nirspec_slits.fixed_slits()
    exposure.slits[1].xstart = 150
    with pytest.raises(ReferenceMissing, match=r"100 x 200 pixels do not hold .* column 149"):
        FlatFieldStep(**flats).run(exposure)
    exposure = nirspec_slits.fixed_slits()
    rows = {"S200A2": fore}
    for name, model in (("rows", rows), ("planes", {"ANY": one})):
        path = nirspec_slits.dflat(tmp_path / f"{name}.fits", CUBE, model)
        with models.open(path) as flat:
            flat.wavelength = flat.wavelength[: 1 if name == "planes" else None]
            flat.save(path)
    with pytest.raises(InputError, match=r"rows.fits: .* no row for the slit S200A1 or for ANY"):
        FlatFieldStep(**flats | {"override_dflat": str(tmp_path / "rows.fits")}).run(exposure)
    with pytest.raises(InputError, match=r"planes.fits: 3 planes have 1 wavelengths"):
        FlatFieldStep(**flats | {"override_dflat": str(tmp_path / "planes.fits")}).run(exposure)
    exposure.meta.exposure.type = "NRC_WFSS"
    with pytest.raises(InputError, match="Run flat_field before extract_2d"):
        FlatFieldStep(override_flat=references["sflat"]).run(exposure)
