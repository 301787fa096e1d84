"""Spectra of a simulated star: from raw ramps to Jy, unbiased, errors as large as the scatter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe.demo import lrs
from stpipe.demo.observation import SPECTRA, Observation
from stpipe.demo.optics import megajansky
from stpipe.demo.truth import Truth
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.spec2 import Spec2Pipeline

PLANS = {plan.slit.kind: plan for plan in SPECTRA if plan.slit}


@pytest.fixture(autouse=True)
def references(spectra_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The references of the simulated prism."""
    monkeypatch.setenv("CRDS_PATH", str(spectra_folder / "crds"))
    monkeypatch.setenv("CRDS_READONLY_CACHE", "1")


def rates(folder: Path, plan: Observation) -> Any:
    """What the detector stage makes: image and integrations."""
    return Detector1Pipeline.call(folder / f"uncal/{plan.root}_uncal.fits")


def truth(plan: Observation, wavelength: Any) -> Any:
    """The star's flux in Jy."""
    return lrs.spectrum(plan.detector, plan.subarray, wavelength, megajansky(plan.detector))


def whole(table: Any) -> Any:
    """Rows in which no pixel of the aperture is missing."""
    return np.isclose(table["NPIXELS"], lrs.APERTURE)


@pytest.mark.parametrize("kind", PLANS)
def test_extraction_is_exact_without_noise(spectra_folder: Path, kind: str) -> None:
    """True rates give the true spectrum, to what fractions of pixels leave: 0.05 %."""
    plan = PLANS[kind]
    rate, _ = rates(spectra_folder, plan)
    rate.data = Truth.load(spectra_folder / f"truth/{plan.root}_truth.fits").rate
    table = Spec2Pipeline().run(rate).spectra.spec[0].spec_table

    good = whole(table)
    assert good.mean() > 0.9
    expected = truth(plan, table["WAVELENGTH"])
    np.testing.assert_allclose(expected[good], table["FLUX"][good], rtol=5e-4)


@pytest.mark.parametrize("kind", PLANS)
def test_spectra_are_unbiased(spectra_folder: Path, kind: str) -> None:
    """Deviations from the truth in units of their errors: mean 0 in all bands, width 1."""
    plan = PLANS[kind]
    rate, rateints = rates(spectra_folder, plan)
    spectra = [Spec2Pipeline().run(rate).spectra.spec[0].spec_table]
    if plan.nints > 1:
        spectra += list(Spec2Pipeline().run(rateints).spectra.spec[0].spec_table)
    for table in spectra:
        good = whole(table)
        flux, error = table["FLUX"][good], table["FLUX_ERROR"][good]
        pull = (flux - truth(plan, table["WAVELENGTH"])[good]) / error
        assert 0.85 < pull.std() < 1.15
        assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
        for band in np.array_split(pull, 6):
            assert abs(band.mean()) < 4 / np.sqrt(band.size)


def test_the_aperture_follows_the_star_in_the_slit(spectra_folder: Path) -> None:
    """The nod is in the header; without following, most of the light is lost."""
    plan = PLANS["FIXEDSLIT"]
    rate, _ = rates(spectra_folder, plan)
    steps = {"extract_1d": {"use_source_posn": False}}
    table = Spec2Pipeline(steps=steps).run(rate).spectra.spec[0].spec_table
    following = Spec2Pipeline().run(rate).spectra.spec[0]

    assert np.nanmedian(table["FLUX"] / truth(plan, table["WAVELENGTH"])) < 0.9
    column, _ = lrs.centre(plan.slit, plan.subarray)  # type: ignore[arg-type]
    place = column + plan.slit.nod / 0.1108 + 0.25  # type: ignore[union-attr] - mean of the bend
    middle = (following.extraction_xstart + following.extraction_xstop) / 2 - 1
    assert pytest.approx(place, abs=0.15) == middle
