"""Light that slits, bars and subarrays take, and spectra of the background, beside the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossy_slits import FIXED, SHUTTERS, barshadow, pathloss, slits
from reference_headers import described
from test_spectra_peer import calibrated

from stpipe import models
from stpipe.science.spectra.combination import combined
from stpipe.science.spectra.combined_spectrum import spectrum_of
from stpipe.steps.stage2.barshadow import BarShadowStep
from stpipe.steps.stage2.pathloss.step import PathLossStep

Peer = Callable[..., Path]
PATHLOSS, BARSHADOW = "jwst.pathloss:PathLossStep", "jwst.barshadow:BarShadowStep"
VALUES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")
LOSSES = ("pathloss_point", "pathloss_uniform", "barshadow")
KEYWORDS = ("pathloss_correction_type", "barshadow_corrected")


def same_slits(theirs: Path, ours: Path, status: str) -> None:
    """The same values, flags and corrections in every slit, and the same keywords."""
    with models.open(theirs) as expected, models.open(ours) as found:
        assert len(expected.slits) == len(found.slits)
        for one, other in zip(expected.slits, found.slits, strict=True):
            same_spectrum(one, other, VALUES + LOSSES)
            assert [one.get(k) for k in KEYWORDS] == [other.get(k) for k in KEYWORDS], one.name
        assert "COMPLETE" == expected.get(status) == found.get(status)


def same_spectrum(expected: Any, found: Any, names: tuple[str, ...]) -> None:
    """Equal to the rounding of float32, and unknown at the same pixels."""
    for name in names:
        if name not in expected.schema.arrays:
            continue
        assert expected.has(name) == found.has(name), name
        if expected.has(name):
            one, other = getattr(expected, name), getattr(found, name)
            np.testing.assert_allclose(one, other, rtol=2e-6, err_msg=name)
    np.testing.assert_array_equal(expected.dq, found.dq)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("NRS_MSASPEC", {}),
        ("NRS_MSASPEC", {"inverse": True, "source_type": "EXTENDED"}),
        ("NRS_FIXEDSLIT", {}),
        ("NRS_FIXEDSLIT", {"inverse": True, "source_type": "POINT"}),
    ],
)
def test_path_loss_of_slits(
    peer_step: Peer, tmp_path: Path, kind: str, parameters: dict[str, Any]
) -> None:
    """Slitlets by their shutters, fixed slits by name; one is not in the reference."""
    shutters = kind == "NRS_MSASPEC"
    names = ["MOS1x1", "MOS1x3"] if shutters else ["S1600A1", "S200A1"]
    # A user's EXTENDED is for light that fills the slit, of uncorrected wavelengths here alone.
    shift = 0.0 if parameters.get("source_type") == "EXTENDED" else 0.002
    exposure = slits(kind, SHUTTERS if shutters else FIXED, shift=shift)
    source = exposure.save(tmp_path / "x_flat_field.fits")
    reference = str(pathloss(tmp_path / "pathloss.fits", names, kind))
    parameters = {**parameters, "override_pathloss": reference}
    theirs = peer_step(PATHLOSS, source, **parameters)
    ours = PathLossStep(**parameters).run(source).save(tmp_path / "x_pathloss.fits")

    same_slits(theirs, ours, "meta.cal_step.pathloss")
    with models.open(ours) as found:
        assert 0.5 < np.isfinite(found.slits[0].data).mean() < 0.95  # the reference ends within
    peer_step("read", ours)


@pytest.mark.parametrize("parameters", [{}, {"inverse": True, "source_type": "EXTENDED"}])
def test_bar_shadow(peer_step: Peer, tmp_path: Path, parameters: dict[str, Any]) -> None:
    """Shadows of slitlets of one to six shutters, some of them closed."""
    source = slits("NRS_MSASPEC", SHUTTERS).save(tmp_path / "x_pathloss.fits")
    parameters = {**parameters, "override_barshadow": str(barshadow(tmp_path / "barshadow.fits"))}
    theirs = peer_step(BARSHADOW, source, **parameters)
    ours = BarShadowStep(**parameters).run(source).save(tmp_path / "x_barshadow.fits")

    # The peer leaves the flags of pixels alone that are NaN.
    with models.open(theirs) as expected, models.open(ours) as found:
        for one, other in zip(expected.slits, found.slits, strict=True):
            for name in (*VALUES, "barshadow"):
                usable = other.dq == 0
                arrays = (np.asarray(getattr(m, name)) for m in (one, other))
                np.testing.assert_allclose(*(a[usable] for a in arrays), rtol=2e-6, err_msg=name)
            assert one.barshadow_corrected == other.barshadow_corrected
            assert np.isfinite(other.barshadow).all()
    peer_step("read", ours)


def lrs_reference(path: Path) -> Path:
    """A PATHLOSS reference of MIRI's slit: factors that fall with the wavelength."""
    rng = np.random.default_rng(3)
    model = models.MirLrsPathlossModel()
    waves = np.linspace(12.1, 6.2, 30)
    table = np.zeros(
        len(waves),
        dtype=[
            ("wavelength", "<f4"),
            ("pathloss", "<f4", (9, 21)),
            ("pathloss_err", "<f4", (9, 21)),
        ],
    )
    table["wavelength"], table["pathloss"] = waves, rng.uniform(1.0, 1.4, (30, 9, 21))
    model.pathloss_table = table
    keywords = {"crpix": 1.0, "crval1": -10.0, "crval2": -2.0, "cdelt1": 1.0, "cdelt2": 0.5}
    for number in (1, 2):
        for name in ("crpix", "crval", "cdelt"):
            value = keywords.get(name, keywords.get(f"{name}{number}"))
            model.set(f"meta.wcsinfo.{name}{number}", value)
    return Path(described(model, "pathloss", "MIRI", "MIRIMAGE").save(path))


@pytest.mark.parametrize("offset", [None, 0.07, 30.0])
def test_path_loss_of_miri(peer_step: Peer, tmp_path: Path, offset: float | None) -> None:
    """A point source where the pointing has it, moved across the slit, and outside."""
    source = calibrated(tmp_path, "FIXEDSLIT", 0, photom_too=False)
    with models.open(source) as image:
        image.meta.target.source_type = "POINT"
        source = image.save(tmp_path / "y_flat_field.fits")
    reference = str(lrs_reference(tmp_path / "pathloss.fits"))
    parameters = {"override_pathloss": reference, "user_slit_loc": offset}
    theirs = peer_step(PATHLOSS, source, **parameters)
    ours = PathLossStep(**parameters).run(source).save(tmp_path / "y_pathloss.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        same_spectrum(expected, found, (*VALUES, "pathloss_point", "wavelength"))
        assert "COMPLETE" == expected.meta.cal_step.pathloss == found.meta.cal_step.pathloss
    peer_step("read", ours)


@pytest.mark.parametrize("position", [245.37, 245.9])
def test_path_loss_of_soss(peer_step: Peer, tmp_path: Path, position: float) -> None:
    """By column of the detector and position of the pupil wheel; not everywhere known."""
    rng = np.random.default_rng(9)
    image = models.ImageModel(rng.normal(5, 1, (32, 64)).astype(np.float32))
    for name in VALUES[1:]:
        image.set(name, rng.uniform(0.1, 1, image.shape).astype(np.float32))
    image.dq = np.where(rng.random(image.shape) < 0.05, 1, 0).astype(np.uint32)
    header = {
        "telescope": "JWST",
        "instrument.name": "NIRISS",
        "instrument.pupil_position": position,
        "exposure.type": "NIS_SOSS",
        "subarray.name": "SUBSTRIP256",
        "visit.tsovisit": False,
    }
    for name, value in header.items():
        image.set(f"meta.{name}", value)
    source = image.save(tmp_path / "x_flat_field.fits")
    parameters = {"override_pathloss": str(soss_reference(tmp_path / "pathloss.fits"))}
    theirs = peer_step(PATHLOSS, source, **parameters)
    ours = PathLossStep(**parameters).run(source).save(tmp_path / "x_pathloss.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        same_spectrum(expected, found, (*VALUES, "pathloss_point"))
        assert 1 == found.pathloss_point[:, 0].max()  # before the first column of the reference


def soss_reference(path: Path) -> Path:
    """A PATHLOSS reference of cross-dispersed spectra: columns by positions of the wheel."""
    model = models.PathlossModel()
    model.apertures.append(
        {
            "name": "SUBSTRIP256",
            "pointsource_data": np.random.default_rng(4).uniform(0.8, 1, (1, 50, 7)),
        }
    )
    keywords = {"crpix": (1, 1), "crval": (245.2, 11.0), "cdelt": (0.2, 1.25)}
    for name, values in keywords.items():
        for number, value in enumerate(values, start=1):
            model.apertures[0].set(f"pointsource_wcs.{name}{number}", value)
    model.meta.exposure.type = "NIS_SOSS"
    return Path(described(model, "pathloss", "NIRISS", "NIS").save(path))


@pytest.mark.parametrize("sigma_clip", [None, 3.0])
def test_combined_spectra(peer_step: Peer, tmp_path: Path, sigma_clip: float | None) -> None:
    """Spectra of different lengths and wavelengths, one falling, with samples not to be used."""
    rng = np.random.default_rng(8)
    extracted = models.MultiSpecModel()
    header = {"telescope": "JWST", "instrument.name": "NIRSPEC", "exposure.exposure_time": 123.0}
    for name, value in {**header, "target.ra": 10.0, "target.dec": 20.0}.items():
        extracted.set(f"meta.{name}", value)
    dtype = extracted.schema.lists["spec"].arrays["spec_table"].dtype
    for start, step, size in ((1.0, 0.0031, 300), (1.1004, 0.00309, 350), (1.0003, 0.0032, 280)):
        table = np.zeros(size, dtype)
        waves = start + step * np.arange(size)
        table["WAVELENGTH"] = waves[::-1] if size == 280 else waves
        for name in ("FLUX", "SURF_BRIGHT"):
            table[name] = rng.normal(4, 0.3, size)
        for name in ("FLUX_ERROR", "SB_ERROR"):
            table[name] = rng.uniform(0.2, 0.4, size)
        table["FLUX"][rng.random(size) < 0.03] = 60.0
        table["FLUX"][rng.random(size) < 0.03] = np.nan
        table["DQ"] = rng.choice([0, 1, 4], size, p=[0.9, 0.05, 0.05])
        extracted.spec.append({"spec_table": table, "spectral_order": 1, "name": f"S{size}"})
    source = extracted.save(tmp_path / "x_x1d.fits")
    theirs = peer_step("jwst.combine_1d:Combine1dStep", source, sigma_clip=sigma_clip)

    found = combined([spectrum_of(part, 123.0) for part in extracted.spec], sigma_clip)
    with models.open(theirs) as expected:
        table = expected.spec[0].spec_table
        for name in table.dtype.names:
            np.testing.assert_allclose(table[name], getattr(found, name.lower()), rtol=1e-12)
