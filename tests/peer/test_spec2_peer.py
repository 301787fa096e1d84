"""The whole of calwebb_spec2 for the LRS beside the peer's: from rates to spectra."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from reference_headers import described
from test_spectra_peer import (
    apcorr,
    calibrated,
    distortion,
    extract1d,
    photom,
    rate,
    same_spectra,
    specwcs,
)

from stpipe import models
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.science.mosaics.sky_grid import corners_of
from stpipe.steps.stage2.resample_spec import ResampleSpecStep

Peer = Callable[..., Path]
NEVER = ("pathloss", "fringe")  # steps of the peer that would ask for references
APERTURES = {
    "FIXEDSLIT": {"xstart": 15.5, "xstop": 24.5, "extract_width": 9, "use_source_posn": True},
    "SLITLESS": {"xstart": 33, "xstop": 43.4},
}
SIDES = {"FIXEDSLIT": (3.5, 10.5, 30.5, 37.2), "SLITLESS": (22.5, 28.5, 46.5, 54.5)}
MICROARCSECOND = 1e-6 / 3600  # degrees


def flat(path: Path, exposure: Any) -> Path:
    """A FLAT reference with errors and pixels that have no response."""
    rng = np.random.default_rng(5)
    model, shape = models.FlatModel(), exposure.shape[-2:]
    for name in ("xstart", "ystart", "xsize", "ysize"):
        model.set(f"meta.subarray.{name}", exposure.get(f"meta.subarray.{name}"))
    model.data = rng.normal(1, 0.05, shape).astype(np.float32)
    model.err = rng.uniform(0, 0.02, shape).astype(np.float32)
    model.dq = np.where(rng.random(shape) < 0.01, dqflags.NO_FLAT_FIELD, 0).astype(np.uint32)
    return Path(described(model, "flat", "MIRI", "MIRIMAGE").save(path))


def parameters(folder: Path, slit: str, exposure: Any) -> dict[str, dict[str, Any]]:
    """References for all steps: a bent trace, a noisy flat, an aperture with background."""
    entry = {**APERTURES[slit], "bkg_coeff": [[x] for x in SIDES[slit]], "bkg_order": 1}
    files = {
        "assign_wcs": {
            "distortion": distortion(folder / "distortion.asdf"),
            "specwcs": specwcs(folder / "specwcs.fits", straight=False),
            "filteroffset": "N/A",
        },
        "flat_field": {"flat": flat(folder / "flat.fits", exposure)},
        "pathloss": {"pathloss": "N/A"},
        "photom": {"photom": photom(folder / "photom.fits", ("linear",)), "area": "N/A"},
        "extract_1d": {
            "extract1d": extract1d(folder / "extract1d.json", slit, **entry),
            "apcorr": apcorr(folder / "apcorr.fits"),
        },
    }
    return {
        step: {f"override_{reftype}": str(file) for reftype, file in chosen.items()}
        for step, chosen in files.items()
    }


@pytest.mark.parametrize(
    ("slit", "integrations"), [("FIXEDSLIT", 0), ("SLITLESS", 0), ("SLITLESS", 3)]
)
def test_calwebb_spec2(peer_step: Peer, tmp_path: Path, slit: str, integrations: int) -> None:
    """Calibrated and rectified images and spectra of the same rates and references."""
    exposure = rate(slit, integrations, 17)
    ints = "ints" if integrations else ""
    source = Path(exposure.save(tmp_path / f"x_rate{ints}.fits"))
    steps = parameters(tmp_path, slit, exposure)
    products = Spec2Pipeline(steps=steps).run(source)
    theirs = {**steps, **{name: {"skip": True} for name in NEVER}}
    theirs["extract_1d"] = {**steps["extract_1d"], "override_psf": "N/A"}
    folder = tmp_path / "peer"
    folder.mkdir()
    pipeline = "jwst.pipeline:Spec2Pipeline"
    peer_step(pipeline, source, steps=theirs, save_results=True, output_dir=str(folder))

    made = {
        f"cal{ints}": products.calibrated,
        "s2d": products.rectified,
        f"x1d{ints}": products.spectra,
    }
    made = {suffix: product for suffix, product in made.items() if product is not None}
    assert {f"x_{suffix}.fits" for suffix in made} == {file.name for file in folder.iterdir()}
    files = {s: Path(p.save(tmp_path / f"x_{s}.fits")) for s, p in made.items()}
    same_images(folder / files[f"cal{ints}"].name, files[f"cal{ints}"])
    same_spectra(folder / files[f"x1d{ints}"].name, files[f"x1d{ints}"], slit)
    if "s2d" in files:
        same_rectified(folder / "x_s2d.fits", files["s2d"])
        with models.open(folder / "x_s2d.fits") as expected, models.open(files["s2d"]) as found:
            for name in ("xstart", "ystart", "xsize", "ysize"):
                assert expected.get(name) == found.get(name)
    for file in files.values():
        peer_step("read", file)


IMAGES = ("data", "err", "var_poisson", "var_rnoise", "var_flat", "wavelength")


def same_images(theirs: Path, ours: Path) -> None:
    """The same values, NaN at the same pixels, and the same flags."""
    with models.open(theirs) as expected, models.open(ours) as found:
        for name in IMAGES:
            one, other = getattr(expected, name), getattr(found, name)
            np.testing.assert_allclose(one, other, rtol=2e-5, err_msg=name)
        np.testing.assert_array_equal(expected.dq, found.dq)


def same_rectified(theirs: Path, ours: Path) -> None:
    """The same grid on the sky, pixels to 1e-4, weights, and what the header says of them."""
    with models.open(theirs) as expected, models.open(ours) as found:
        assert "SlitModel" == type(expected).__name__ == type(found).__name__
        # Pixels that next to nothing falls on are what the rounding of places makes of them.
        good = expected.wht > 0.01 * np.median(expected.wht)
        assert good.mean() > 0.5
        for name in IMAGES:
            one, other = getattr(expected, name), getattr(found, name)
            np.testing.assert_allclose(one[good], other[good], rtol=1e-4, err_msg=name)
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        np.testing.assert_array_equal(expected.dq, found.dq)
        np.testing.assert_allclose(expected.wht[good], found.wht[good], rtol=1e-4)
        np.testing.assert_array_equal(expected.con, found.con)
        same_places(expected, found)
        regions = (corners_of(m.meta.wcsinfo.s_region) for m in (expected, found))
        np.testing.assert_allclose(*regions, rtol=0, atol=2e-9)
        for path in DESCRIBED:
            one, other = expected.get(path), found.get(path)
            same = isinstance(one, float) and math.isclose(one, other, rel_tol=1e-6)
            assert one == other or same, (path, one, other)


def same_places(expected: Any, found: Any) -> None:
    """Places and wavelengths of pixels agree, there and back."""
    x, y = (axis.astype(float) for axis in np.indices(expected.shape[::-1])[:, ::3, ::5])
    one, other = expected.meta.wcs(x, y), found.meta.wcs(x, y)
    np.testing.assert_allclose(one[:2], other[:2], rtol=0, atol=MICROARCSECOND)
    np.testing.assert_allclose(one[2], other[2], rtol=1e-9)
    back = found.meta.wcs.invert(*one, with_bounding_box=False)
    np.testing.assert_allclose((x, y), back, rtol=0, atol=1e-5)
    assert expected.meta.wcs.available_frames == found.meta.wcs.available_frames
    assert expected.meta.wcs.array_shape == found.meta.wcs.array_shape


DESCRIBED = (
    "meta.bunit_data",
    "meta.bunit_err",
    "meta.cal_step.resample",
    "meta.target.source_type",
    "meta.wcsinfo.dispersion_direction",
    *(f"meta.photometry.pixelarea_{unit}" for unit in ("arcsecsq", "steradians")),
    *(f"meta.resample.{n}" for n in ("pixfrac", "kernel", "weight_type", "pixel_scale_ratio")),
    *(f"meta.exposure.{n}_time" for n in ("exposure", "measurement", "start", "end")),
)


CHOICES: dict[str, dict[str, Any]] = {
    "larger pixels": {"pixel_scale_ratio": 0.6},
    "scale": {"pixel_scale": 0.05, "pixel_scale_ratio": 3.0},
    "drops": {"pixfrac": 0.4, "kernel": "point", "pixel_scale_ratio": 1.3},
    "times and flags": {"weight_type": "exptime", "propagate_dq": True, "fillval": "-7"},
}
# A roll that lays the slit along the meridian, and places where right ascension begins again.
POINTINGS = {"meridian": (40.0, 10.0), "parallel": (0.0003, -55.0), "north": (359.9997, 88.0)}


@pytest.mark.parametrize("choice", CHOICES)
def test_rectification(peer_step: Peer, tmp_path: Path, choice: str) -> None:
    """Every parameter."""
    source = calibrated(tmp_path, "FIXEDSLIT", 0)
    theirs = peer_step("jwst.resample:ResampleSpecStep", source, **CHOICES[choice])
    ours = ResampleSpecStep(**CHOICES[choice]).run(source).save(tmp_path / "x_s2d.fits")

    same_rectified(theirs, ours)
    peer_step("read", ours)


@pytest.mark.parametrize("pointing", POINTINGS)
@pytest.mark.parametrize("roll", [4.5, 94.5, 200.0])
def test_slits_that_lie_otherwise(
    peer_step: Peer, tmp_path: Path, pointing: str, roll: float
) -> None:
    """Whichever way the slit is turned, also across 0 h and near the pole."""
    exposure = rate("FIXEDSLIT", 0, 23)
    info = exposure.meta.wcsinfo
    (info.ra_ref, info.dec_ref), info.roll_ref = POINTINGS[pointing], roll
    source = Path(exposure.save(tmp_path / "x_rate.fits"))
    steps = parameters(tmp_path, "FIXEDSLIT", exposure)
    products = Spec2Pipeline(steps=steps | {"extract_1d": {"skip": True}}).run(source)
    given = products.calibrated.save(tmp_path / "x_cal.fits")
    theirs = peer_step("jwst.resample:ResampleSpecStep", given)

    same_rectified(theirs, products.rectified.save(tmp_path / "x_s2d.fits"))


def test_the_grid_of_a_file(peer_step: Peer, tmp_path: Path) -> None:
    """One that another exposure was rectified onto, of its shape and of another."""
    source = calibrated(tmp_path, "FIXEDSLIT", 0)
    first = ResampleSpecStep(pixel_scale_ratio=0.8).run(source)
    path = tmp_path / "grid.asdf"
    asdf.AsdfFile({"wcs": first.meta.wcs}).write_to(path)
    for choice in ({}, {"output_shape": [30, 380]}):
        asked = {"output_wcs": str(path), **choice}
        theirs = peer_step("jwst.resample:ResampleSpecStep", source, **asked)
        ours = ResampleSpecStep(**asked).run(source).save(tmp_path / "x_s2d.fits")
        with models.open(theirs) as expected, models.open(ours) as found:
            assert expected.shape == found.shape
            np.testing.assert_allclose(expected.data, found.data, rtol=1e-4)
            np.testing.assert_allclose(expected.wht, found.wht, rtol=1e-4)
