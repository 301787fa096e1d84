"""Slitless spectra: which pixels, which wavelengths, and the flux that comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slitless import SIZE, SOURCES, WAVES, Scene, make, trace

from stpipe import models
from stpipe.errors import InputError, ReferenceMissing
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.science.wcs.grism import Grism
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.extract_2d.step import Extract2dStep

CUTTING = ("specwcs", "wavelengthrange")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make(tmp_path_factory.mktemp("slitless"))


@pytest.fixture
def image(scene: Scene) -> Any:
    """The exposure with coordinates."""
    return AssignWcsStep(**scene.parameters("distortion", "filteroffset", "specwcs")).run(
        scene.rate
    )


def cut(scene: Scene, image: Any, **parameters: Any) -> Any:
    step = Extract2dStep(
        source_catalog=str(scene.catalog), **scene.parameters(*CUTTING), **parameters
    )
    return step.run(image)


def test_cutouts_are_where_the_light_is(scene: Scene, image: Any) -> None:
    """The brightest first; around the trace; light of every wavelength is at its pixel."""
    slits = cut(scene, image).slits

    assert ["7", "4", "9"] == [slit.name for slit in slits]
    known = {number: (x, y) for number, x, y, _, _ in SOURCES}
    for slit in slits:
        x, y = known[slit.source_id]
        assert pytest.approx((x, y), abs=1e-6) == (slit.source_xpos, slit.source_ypos)
        for wave in (1.32, 1.5, 1.68):
            column, row = trace(x, y, wave)
            inside = (column - slit.xstart + 1, row - slit.ystart + 1)
            ra, dec, found = slit.meta.wcs(*inside)
            assert pytest.approx(wave, abs=1e-6) == found
            assert pytest.approx((slit.source_ra, slit.source_dec)) == (ra, dec)
            np.testing.assert_allclose(slit.meta.wcs.invert(ra, dec, wave), inside, atol=1e-4)
        first, last = slit.wavelength[0, 0], slit.wavelength[0, -1]
        assert WAVES[0] - 0.011 < first < WAVES[0] < WAVES[1] < last + 0.011
        area = (slice(slit.ystart - 1, slit.ystart - 1 + slit.ysize),)
        area += (slice(slit.xstart - 1, slit.xstart - 1 + slit.xsize),)
        np.testing.assert_array_equal(image.data[area], slit.data)
    assert [11, 11, 2] == [slit.ysize for slit in slits]  # without outline as high as its trace
    assert ["POINT", "POINT", "EXTENDED"] == [slit.source_type for slit in slits]


def names(model: Any) -> list[str]:
    return [slit.name for slit in model.slits]


def test_a_choice_of_sources_and_orders(scene: Scene, image: Any) -> None:
    """By number, brightness, count and order; what is beyond the image is left out."""
    assert ["9"] == names(cut(scene, image, source_ids=[9, 11]))
    assert ["7", "4"] == names(cut(scene, image, wfss_mmag_extract=18.8))
    assert ["7", "4"] == names(cut(scene, image, wfss_nbright=2))
    height = cut(scene, image, wfss_extract_half_height=2, source_ids=[4]).slits[0].ysize
    assert 5 == height
    assert cut(scene, image, source_ids=[11]) is None


def test_what_is_missing_is_told(scene: Scene, image: Any, tmp_path: Path) -> None:
    """The catalogue, an order, coordinates."""
    with pytest.raises(InputError, match="Name its catalogue: source_catalog=PATH"):
        Extract2dStep(**scene.parameters(*CUTTING)).run(image)
    wrong = tmp_path / "x.ecsv"
    wrong.write_text("# nothing")
    with pytest.raises(InputError, match="is no catalogue of sources"):
        Extract2dStep(source_catalog=str(wrong), **scene.parameters(*CUTTING)).run(image)
    with pytest.raises(InputError, match=r"no orders \[3\] of the filter F150W"):
        cut(scene, image, extract_orders=[1, 3])
    with pytest.raises(InputError, match="has no gwcs"):
        cut(scene, models.ImageModel(scene.rate))
    grism = Grism.of(image.to_flat_dict(), models.open(scene.references["specwcs"]))
    with pytest.raises(ReferenceMissing, match="no order 5, allowed: 1, 2"):
        grism.trace(5, 1.0, 1.0)


def test_images_are_not_cut_up(image: Any) -> None:
    """Skipped, with the reason, and without looking for references."""
    image.meta.exposure.type = "NIS_IMAGE"
    left = Extract2dStep().run(image)

    assert "are not cut up" in left.provenance[-1]["reason"]
    assert (SIZE, SIZE) == left.shape


def test_spectra_have_the_flux_of_the_sources(scene: Scene, tmp_path: Path) -> None:
    """From rates to Jy, through response, dispersion and solid angle; files read the same."""
    steps: dict[str, Any] = {
        "assign_wcs": scene.parameters("distortion", "filteroffset", "specwcs"),
        "flat_field": scene.parameters("flat"),
        "extract_2d": {"source_catalog": str(scene.catalog), **scene.parameters(*CUTTING)},
        "photom": scene.parameters("photom", "area"),
        "extract_1d": scene.parameters("apcorr"),
    }
    products = Spec2Pipeline(steps=steps).run(scene.rate)

    assert "MultiSlitModel" == type(products.calibrated).__name__
    assert products.rectified is None
    flux = {number: jansky for number, _, _, jansky, _ in SOURCES}
    saved = models.open(products.spectra.save(tmp_path / "x_x1d.fits"))
    assert "WFSSMultiSpecModel" == type(saved).__name__
    part = saved.spec[0]
    assert 1 == part.spectral_order
    assert "Jy" == part.units("spec_table")["FLUX"]
    assert [4, 7, 9] == list(part.spec_table["SOURCE_ID"])
    for row in part.spec_table[:2]:
        count = row["N_ALONGDISP"]
        assert np.isnan(row["FLUX"][count:]).all()
        inner = slice(2, count - 2)  # the ends see pixels of which the source covers a part
        assert pytest.approx(np.mean(row["FLUX"][inner]), rel=2e-3) == flux[row["SOURCE_ID"]]
        np.testing.assert_allclose(row["FLUX"][inner], flux[row["SOURCE_ID"]], rtol=0.03)
        assert pytest.approx(0.01, rel=1e-3) == np.abs(np.diff(row["WAVELENGTH"][inner])).mean()
