"""Places of sources from the image that verifies their acquisition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acquisition import OFFSETS, confirmation, exposure, optics

from stpipe import models
from stpipe.core.associations import assignments
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.science.wcs.acquisition import expected_places, measured_place
from stpipe.steps.stage2.pathloss.lrs import place_in_slit
from stpipe.steps.stage2.targ_centroid import TargCentroidStep

SOURCE = (326.4, 299.1)  # in the image
DITHER = (0.4, 0.0)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of the optics."""
    return optics(tmp_path_factory.mktemp("references"))


@pytest.fixture(scope="module")
def rates(references: dict[str, str]) -> Any:
    """A dithered exposure in the slit."""
    return exposure("FIXEDSLIT", DITHER, references)


def step(references: dict[str, str], image: Path, **options: Any) -> TargCentroidStep:
    """A step with the references of the image."""
    given = {f"override_{n}": references[n] for n in ("distortion", "filteroffset")}
    return TargCentroidStep(skip=False, ta_file=str(image), **given, **options)


@pytest.mark.parametrize("located", [True, False])
def test_the_source_is_where_its_image_is_but_for_dithers_and_the_filter(
    references: dict[str, str], rates: Any, tmp_path: Path, *, located: bool
) -> None:
    """Also of an image without coordinates; a WCS moves with the source when that is asked for."""
    image = confirmation("FIXEDSLIT", SOURCE, (0.0, 0.0), references)
    if not located:
        image.meta.wcs = None
    file = image.save(tmp_path / "ta_cal.fits")

    found = step(references, file, correct_wcs=True).run(rates)

    meta = rates.to_flat_dict()
    dithered, nominal = expected_places(rates.meta.wcs, meta)
    offset = (OFFSETS[0]["column_offset"], OFFSETS[0]["row_offset"])
    expected = np.add(SOURCE, offset) + np.subtract(dithered, nominal)
    place = (found.source_xpos, found.source_ypos)
    np.testing.assert_allclose(place, expected, atol=0.02)
    assert np.hypot(*np.subtract(place, dithered)) > 0.3
    target = rates.meta.wcs(*dithered)[:2]
    np.testing.assert_allclose(
        found.meta.wcs(*place, with_bounding_box=False)[:2], target, atol=1e-9
    )
    assert rates.source_xpos is None  # the input stays as it was
    x, y = place_in_slit(found.meta.wcs, found.to_flat_dict(), 0.0)
    np.testing.assert_allclose((x, y), np.subtract(place, (325.13, 298.7)), atol=1e-6)


def test_places_are_kept_in_files(references: dict[str, str], rates: Any, tmp_path: Path) -> None:
    """As the archive's keywords."""
    image = confirmation("FIXEDSLIT", SOURCE, (0.0, 0.0), references).save(tmp_path / "ta_cal.fits")

    path = step(references, image).run(rates).save(tmp_path / "x_targ_centroid.fits")

    with models.open(path) as found:
        assert found.meta.cal_step.targ_centroid == "COMPLETE"
        assert abs(found.ta_xpos - SOURCE[0]) < 0.02
        assert found.get("source_ypos") is not None


@pytest.mark.parametrize("fault", ["another type", "no source", "no image"])
def test_without_an_image_of_the_source_the_step_is_skipped(
    references: dict[str, str], rates: Any, tmp_path: Path, fault: str
) -> None:
    """The exposure stays as it is, and says so."""
    image = confirmation("FIXEDSLIT", SOURCE, (0.0, 0.0), references)
    if fault == "another type":
        image.meta.exposure.type = "MIR_IMAGE"
    if fault == "no source":
        image.data = np.full_like(image.data, np.nan)
    file = image.save(tmp_path / "ta_cal.fits")
    asked = TargCentroidStep(skip=False) if fault == "no image" else step(references, file)

    found = asked.run(rates)

    assert found.meta.cal_step.targ_centroid == "SKIPPED"
    assert found.source_xpos is None


def test_a_place_beyond_the_image_has_no_source() -> None:
    """Nor has one whose fit leads out of what is looked at."""
    image = np.ones((30, 40), np.float32)

    assert measured_place(image, (200.0, 10.0)) is None
    assert measured_place(image, (-40.0, 10.0)) is None


def test_an_association_names_the_image(
    references: dict[str, str], rates: Any, tmp_path: Path
) -> None:
    """When it is there: the step is left out by default, and archives list what nobody fetched."""
    rates.save(tmp_path / "x_rate.fits")
    members = [("x_rate.fits", "science"), ("ta_cal.fits", "target_acquisition")]
    product = {
        "name": "x",
        "members": [{"expname": name, "exptype": kind} for name, kind in members],
    }
    path = tmp_path / "spec2_asn.json"
    path.write_text(json.dumps({"asn_type": "spec2", "asn_id": "a1", "products": [product]}))

    (without,) = assignments(Spec2Pipeline, path)
    confirmation("FIXEDSLIT", SOURCE, (0.0, 0.0), references).save(tmp_path / "ta_cal.fits")
    (assigned,) = assignments(Spec2Pipeline, path)

    assert "targ_centroid" not in without.settings.steps
    given = assigned.settings.substep("targ_centroid").values["ta_file"]
    assert given.value == str(tmp_path / "ta_cal.fits")
