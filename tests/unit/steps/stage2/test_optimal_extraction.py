"""Spectra by the profile of their source: where it applies, what it finds, what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stars_in_slits

from stpipe.errors import ReferenceMissing
from stpipe.steps.stage2.extract_1d.step import Extract1dStep


@pytest.fixture
def references(tmp_path: Path) -> dict[str, str]:
    """The profile of all slits, an aperture for all; no aperture correction."""
    return {
        "override_psf": stars_in_slits.psf(tmp_path / "psf.fits"),
        "override_extract1d": stars_in_slits.extract1d(tmp_path / "extract1d.json"),
        "override_apcorr": "N/A",
    }


def optimal(exposure: Any, references: dict[str, str], **parameters: Any) -> Any:
    step = Extract1dStep(extraction_type="optimal", **references, **parameters)
    return step.run(exposure), step.side_products


def test_the_light_of_a_star(references: dict[str, str]) -> None:
    """All of it, at its place, with and without a fit of that; above the sky if asked."""
    for parameters in ({}, {"optimize_psf_location": False}):
        found, _ = optimal(
            stars_in_slits.slits(), references, subtract_background=True, **parameters
        )
        table = found.spec[0].spec_table
        np.testing.assert_allclose(stars_in_slits.FLUX, table["FLUX"], rtol=2e-3)
        np.testing.assert_allclose(0, [table["SURF_BRIGHT"], table["SB_ERROR"]])
        assert (table["BACKGROUND"] > stars_in_slits.SKY / 2).all()
    raw, _ = optimal(stars_in_slits.slits(), references)
    assert (raw.spec[0].spec_table["FLUX"] > 1.05 * table["FLUX"]).all()


def test_the_image_that_a_nod_left(references: dict[str, str]) -> None:
    """It does not disturb; not modelled, it does."""
    found, images = optimal(stars_in_slits.nodded(), references, save_profile=True)
    np.testing.assert_allclose(stars_in_slits.FLUX, found.spec[0].spec_table["FLUX"], rtol=2e-3)
    profile = images["profile"].slits[0].data
    np.testing.assert_allclose(0, profile.sum(axis=0), atol=1e-5)
    assert profile.min() < -0.1

    alone, _ = optimal(
        stars_in_slits.nodded(), references, model_nod_pair=False, optimize_psf_location=False
    )
    wrong = np.abs(alone.spec[0].spec_table["FLUX"] / stars_in_slits.FLUX - 1)
    assert wrong.max() > 5e-3


@pytest.mark.parametrize("kind", ["box", "optimal"])
def test_images_of_slits_and_of_integrations(references: dict[str, str], kind: str) -> None:
    """Each slit has its own; the scene is the exposure where the profile is right."""
    parameters = {"save_profile": True, "save_scene_model": True, "save_residual_image": True}
    step = Extract1dStep(extraction_type=kind, **references, **parameters)
    step.run(stars_in_slits.slits())
    names = [[slit.name for slit in model.slits] for model in step.side_products.values()]
    assert 3 * [["S200A1", "S200A2"]] == names
    assert not np.array_equal(*(slit.data for slit in step.side_products["profile"].slits))

    exposure = stars_in_slits.bright_object(3)
    step = Extract1dStep(extraction_type=kind, subtract_background=True, **references, **parameters)
    spectra = step.run(exposure)
    profile, scene, residual = (
        step.side_products[n].data for n in ("profile", "scene", "residual")
    )
    assert ((27, 60), (3, 27, 60), (3, 27, 60)) == (profile.shape, scene.shape, residual.shape)
    known = np.isfinite(residual)
    np.testing.assert_array_equal(exposure.dq == 0, known)
    np.testing.assert_allclose((exposure.data - scene)[known], residual[known], atol=1e-5)
    if kind == "optimal":
        expected = stars_in_slits.FLUX * np.arange(1, 4)[:, np.newaxis]
        np.testing.assert_allclose(expected, spectra.spec[0].spec_table["FLUX"], rtol=2e-3)
        assert np.abs(residual[known]).max() < 0.2


def test_where_a_profile_is_fitted(
    references: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """By None where the aperture follows a source; without reference nowhere, with a warning."""

    def fluxes(**parameters: Any) -> list[Any]:
        step = Extract1dStep(**{**references, **parameters})
        return [spec.spec_table["FLUX"] for spec in step.run(stars_in_slits.slits()).spec]

    box, fit = fluxes(), fluxes(extraction_type="optimal")
    by_source = fluxes(extraction_type=None)
    np.testing.assert_array_equal([fit[0], box[1]], by_source)
    assert not np.allclose(box[0], fit[0], rtol=0.01)

    with caplog.at_level(logging.WARNING, "stpipe"):
        without = fluxes(extraction_type="optimal", override_psf="N/A")
    np.testing.assert_array_equal(box, without)
    assert "There is no PSF or EXTRACT1D reference" in caplog.text


def test_references_that_do_not_apply(tmp_path: Path, references: dict[str, str]) -> None:
    """Another slit; not as many profiles as wavelengths."""
    other = stars_in_slits.psf(tmp_path / "other.fits", "S400A1")
    with pytest.raises(
        ReferenceMissing, match=r"other\.fits has no PSF for slit S200A1; it has S4"
    ):
        optimal(stars_in_slits.slits(), references | {"override_psf": other})
    short = stars_in_slits.psf(tmp_path / "short.fits", waves=stars_in_slits.WAVES[1:])
    with pytest.raises(ReferenceMissing, match="41 profiles for 40 wavelengths"):
        optimal(stars_in_slits.slits(), references | {"override_psf": short})
