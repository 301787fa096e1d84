"""Spectra of a simulated star: from raw ramps to Jy, unbiased, errors as large as the scatter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe.demo import lrs
from stpipe.demo.observation import SPECTRA, Observation
from stpipe.demo.optics import APERTURES, megajansky
from stpipe.demo.truth import Truth
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.spec2 import Spec2Pipeline

PLANS = {plan.spectrum.kind: plan for plan in SPECTRA if plan.spectrum}


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


def whole(table: Any, calibrated: Any, plan: Observation) -> Any:
    """Rows in which no pixel of the aperture is missing, nor one next to it.

    Rectified images have a value at each pixel of the slit, of its neighbours if need be.
    """
    rows = np.flatnonzero(np.isfinite(calibrated.wavelength).any(axis=1))
    column, first = lrs.centre(plan.spectrum, plan.subarray)  # type: ignore[arg-type]
    scale = APERTURES["MIRI"].scale
    place = column + lrs.bend(rows - first) + plan.spectrum.nod / scale  # type: ignore[union-attr]
    columns = np.arange(calibrated.shape[-1])
    near = np.abs(columns - place[:, np.newaxis]) < lrs.APERTURE / 2 + 2
    known = np.isfinite(calibrated.data[..., rows, :]) | ~near
    return np.isclose(table["NPIXELS"], lrs.APERTURE) & known.all(axis=-1)


def on_the_detector(plan: Observation, folder: Path) -> str:
    """The aperture of a slit for images that are not rectified."""
    slit: Any = plan.spectrum
    reference = lrs.aperture_reference(slit, plan.subarray)
    (entry,) = reference.content["apertures"]
    shift = lrs.centre(slit, plan.subarray)[0] - lrs.RECTIFIED
    entry |= {name: entry[name] + shift for name in ("xstart", "xstop")}
    entry["bkg_coeff"] = [[place + shift] for (place,) in entry["bkg_coeff"]]
    return str(reference.save(folder / "extract1d.json"))


# What makes a difference to how light is added up.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "without a slit": ("SLITLESS", {}),
    # Weights that differ from pixel to pixel move light within the slope of a profile.
    "rectified": ("FIXEDSLIT", {"weight_type": "exptime"}),
    "along the trace": ("FIXEDSLIT", {"skip": True}),
}


@pytest.mark.parametrize("way", WAYS)
def test_extraction_is_exact_without_noise(spectra_folder: Path, tmp_path: Path, way: str) -> None:
    """True rates give the true spectrum, to what fractions of pixels leave: 0.05 %, or 0.1 %.

    The larger one is of apertures whose correction is that of rectified images.
    """
    kind, resampling = WAYS[way]
    plan = PLANS[kind]
    rate, _ = rates(spectra_folder, plan)
    rate.data = Truth.load(spectra_folder / f"truth/{plan.root}_truth.fits").rate
    steps: dict[str, Any] = {"resample_spec": resampling}
    if way == "along the trace":
        steps["extract_1d"] = {"override_extract1d": on_the_detector(plan, tmp_path)}
    found = Spec2Pipeline(steps=steps).run(rate)
    table = found.spectra.spec[0].spec_table

    good = whole(table, found.calibrated, plan)
    assert good.mean() > 0.9
    expected = truth(plan, table["WAVELENGTH"])
    rtol = 1e-3 if way == "along the trace" else 5e-4
    np.testing.assert_allclose(expected[good], table["FLUX"][good], rtol=rtol)
    assert (way == "rectified") is (found.rectified is not None)


@pytest.mark.parametrize("kind", PLANS)
def test_spectra_are_unbiased(spectra_folder: Path, kind: str) -> None:
    """Deviations from the truth in units of their errors: mean 0 in all bands, width 1."""
    plan = PLANS[kind]
    rate, rateints = rates(spectra_folder, plan)
    exposures = [rate, rateints] if plan.nints > 1 else [rate]
    for found in [Spec2Pipeline().run(exposure) for exposure in exposures]:
        table = found.spectra.spec[0].spec_table
        good = whole(table, found.calibrated, plan)
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
    place = lrs.RECTIFIED + plan.spectrum.nod / APERTURES["MIRI"].scale  # type: ignore[union-attr]
    middle = (following.extraction_xstart + following.extraction_xstop) / 2 - 1
    assert pytest.approx(place, abs=0.15) == middle
