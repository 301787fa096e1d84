"""Circles, magnitudes and what is looked up for them, held against arithmetic by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fields
import numpy as np
import pytest
from astropy.table import Table
from reference_headers import described

from stpipe import models
from stpipe.errors import InputError, ParameterError, ReferenceMissing
from stpipe.steps.stage3.source_catalog.aperture_photometry import (
    Apertures,
    apertures_for,
    magnitudes,
    vega_offset,
)
from stpipe.steps.stage3.source_catalog.step import SourceCatalogStep

META = {"meta.instrument.filter": "F200W", "meta.instrument.pupil": "CLEAR"}


def reference(energies: tuple[float, ...] = (0.3, 0.5, 0.7)) -> Any:
    """Circles of one filter."""
    model = models.NrcImgApcorrModel()
    table = np.zeros(len(energies), model.schema.arrays["apcorr_table"].dtype)
    table["filter"], table["pupil"], table["eefraction"] = "F200W", "CLEAR", energies
    table["radius"], table["apcorr"] = 4 * np.array(energies), 1 / np.array(energies)
    table["skyin"], table["skyout"] = 6, 9
    model.apcorr_table = table
    return model


def test_circles_scale_with_the_pixels() -> None:
    """Smaller pixels of the mosaic, more of them."""
    found = apertures_for(reference(), META, (30, 50, 70), 0.5)
    np.testing.assert_allclose(found.radii, (2.4, 4.0, 5.6), rtol=1e-6)
    np.testing.assert_allclose(found.corrections, (1 / 0.3, 2, 1 / 0.7), rtol=1e-6)
    assert (found.inner, found.outer) == (12, 18)


def test_what_a_reference_lacks() -> None:
    """The filter, the encircled energy, one annulus: each is named with what there is."""
    with pytest.raises(ReferenceMissing, match=r"no row for filter F444W.*It has F200W CLEAR"):
        apertures_for(reference(), META | {"meta.instrument.filter": "F444W"}, (30, 50, 70), 1.0)
    with pytest.raises(ReferenceMissing, match=r"0 rows for the encircled energy 60 %"):
        apertures_for(reference(), META, (30, 50, 60), 1.0)
    two = reference()
    table = np.array(two.apcorr_table)
    table["skyin"][1] = 7
    two.apcorr_table = table
    with pytest.raises(ReferenceMissing, match="different annuli"):
        apertures_for(two, META, (30, 50, 70), 1.0)


def test_light_in_circles() -> None:
    """On a level of 2: each circle has its area; errors add in quadrature; edges give NaN."""
    data, err = np.full((60, 60), 2.0, np.float32), np.full((60, 60), 0.5, np.float32)
    data[30, 30] += 100
    data[10, 10] = np.nan
    places = np.array([[30.0, 30.0], [10.0, 10.0], [np.nan, 3.0]])
    found = Apertures((30, 50), (2.0, 3.0), (1.0, 1.0), 6.0, 9.0).measure(data, err, places)
    np.testing.assert_allclose(found.flux[:, 0], 100, rtol=1e-6)
    np.testing.assert_allclose(found.background[:2], 2.0)
    assert np.isnan(found.flux[:, 1:]).all()
    # Between that of whole pixels inside and of all that are touched.
    assert 0.5 * np.sqrt(9) < found.error[0, 0] < 0.5 * np.sqrt(np.pi * 4)


def test_magnitudes() -> None:
    """3631 Jy are magnitude 0; what is not positive has none."""
    magnitude, error = magnitudes(np.array([3631.0, 0.0, -1.0]), np.array([36.31, 1.0, 1.0]))
    assert abs(magnitude[0]) < 1e-3
    assert error[0] == pytest.approx(2.5 * np.log10(1.01))
    assert np.isnan(magnitude[1:]).all()


def test_vega_offsets() -> None:
    """By filter and pupil where the table has both; MIRI's has filters only."""
    both = Table({"filter": ["F200W"] * 2, "pupil": ["CLEAR", "F162M"], "abvega_offset": [1.5, 2]})
    assert vega_offset(both, META) == 1.5
    with pytest.raises(ReferenceMissing, match="2 rows"):
        vega_offset(both["filter", "abvega_offset"], META)


@pytest.fixture
def image() -> Any:
    """Two stars on a noisy sky."""
    return fields.image(fields.Exposure(1, stars=30), np.random.default_rng(3))


@pytest.fixture
def apcorr(tmp_path: Path) -> str:
    """A file of circles."""
    return str(described(reference(), "APCORR", "NIRCAM", "NRCA1").save(tmp_path / "apcorr.fits"))


def test_without_references(image: Any, apcorr: str) -> None:
    """Without ABVEGAOFFSET no Vega magnitudes; where no APCORR applies the step is skipped."""
    made = SourceCatalogStep(override_apcorr=apcorr, override_abvegaoffset="N/A").run(image)
    table = made.catalog.catalog
    assert len(table) > 10
    assert np.isfinite(table["aper50_abmag"]).any()
    assert np.isnan(table["aper50_vegamag"]).all()
    assert made.catalog.abvega_offset is None

    skipped = SourceCatalogStep(override_apcorr="N/A", override_abvegaoffset="N/A").run(image)
    assert isinstance(skipped, models.ImageModel)
    assert "apcorr" in skipped.provenance[-1]["reason"]


def test_energies_in_order(image: Any, apcorr: str) -> None:
    """Each circle holds more than the one before."""
    step = SourceCatalogStep(aperture_ee1=50, override_apcorr=apcorr, override_abvegaoffset="N/A")
    with pytest.raises(ParameterError, match="50, 50, 70, allowed: each larger"):
        step.run(image)


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
