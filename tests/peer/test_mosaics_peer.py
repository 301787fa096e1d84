"""Steps of many exposures beside those of the peer: the same association, the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from fields import Exposure, associate

from stpipe import models
from stpipe.steps.stage2.resample import ResampleStep

Peer = Callable[..., Path]


@pytest.fixture
def association(tmp_path: Path) -> Path:
    """Three dithered images."""
    places = [Exposure(n, east=0.13 * n, north=0.22 * n) for n in range(3)]
    return associate(tmp_path, places, seed=11)


CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "small drops": {"pixfrac": 0.7, "pixel_scale_ratio": 0.6},
    "time": {"weight_type": "exptime", "rotation": 0.0},
    "gaussian": {"kernel": "gaussian", "pixfrac": 0.8, "pixel_scale": 0.04},
    "turbo": {"kernel": "turbo", "fillval": "0.0"},
    "place": {"crpix": [50.0, 60.0], "crval": [80.4876, -69.4974], "output_shape": [170, 150]},
    "flags": {"propagate_dq": True, "enable_err": False},
    "point": {"kernel": "point", "weight_type": "exptime", "report_var": False},
    "turned and enlarged": {"rotation": 70.0, "pixel_scale": 0.05, "pixfrac": 0.6},
    "lanczos": {"kernel": "lanczos3", "pixel_scale_ratio": 1.0, "blendheaders": False},
    "turned in place": {
        "rotation": -25.0,
        "crpix": [90.5, 70.25],
        "crval": [80.4878, -69.4973],
        "output_shape": [190, 180],
        "pixel_scale_ratio": 0.9,
    },
}


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"pixel_shape": [170, 150], "pixel_area": 0.0012},
        {"array_shape": [150, 170], "pixel_scale": 0.031},
    ],
    ids=["bounding box", "pixel_shape", "array_shape"],
)
def test_resample_onto_pixels_of_a_file(
    peer_step: Peer, tmp_path: Path, association: Path, about: dict[str, Any]
) -> None:
    """The shape and the width of pixels come from the same entries of the file."""
    made = ResampleStep(**CASES["place"]).run(association)
    made.meta.wcs.array_shape = None
    file = tmp_path / "grid.asdf"
    asdf.AsdfFile({"wcs": made.meta.wcs, **about}).write_to(file)
    theirs = peer_step("jwst.resample:ResampleStep", association, output_wcs=str(file))
    ours = ResampleStep(output_wcs=str(file)).run(association).save(tmp_path / "x_i2d.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        assert expected.data.shape == found.data.shape
        good = expected.wht > 0.2 * np.median(expected.wht)
        assert good.sum() > 10_000
        for name in ("data", "wht", "err"):
            one, other = getattr(expected, name)[good], getattr(found, name)[good]
            np.testing.assert_allclose(one, other, rtol=1e-4, err_msg=name)
        headers(expected, found, "meta.photometry.")


@pytest.mark.parametrize("case", CASES)
def test_resample(peer_step: Peer, tmp_path: Path, association: Path, case: str) -> None:
    """Kernels, weights, grids: the same shape and coordinates, values to 1e-4."""
    parameters = CASES[case]
    theirs = peer_step("jwst.resample:ResampleStep", association, **parameters)
    ours = ResampleStep(**parameters).run(association).save(tmp_path / "x_i2d.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        assert expected.shape == found.shape
        rows, columns = np.mgrid[0 : found.shape[0] : 20, 0 : found.shape[1] : 20]
        for one, other in zip(
            expected.meta.wcs(columns, rows), found.meta.wcs(columns, rows), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)
        good = expected.wht > 0.2 * np.median(expected.wht)
        assert good.sum() > (3_000 if "kernel" in parameters else 10_000)
        assert (expected.wht > 0).mean() == pytest.approx((found.wht > 0).mean(), abs=1e-4)
        for name in ("data", "wht", "err", "var_poisson", "var_rnoise", "var_flat"):
            assert expected.has(name) == found.has(name), name
            if expected.has(name):
                one, other = getattr(expected, name)[good], getattr(found, name)[good]
                # A kernel of a table jumps where a place is rounded another way.
                rtol = 1e-3 if "lanczos" in str(parameters.get("kernel")) else 1e-4
                np.testing.assert_allclose(one, other, rtol=rtol, err_msg=name)
        np.testing.assert_array_equal(expected.con[:, good], found.con[:, good])
        if parameters.get("propagate_dq"):
            np.testing.assert_array_equal(expected.dq[good], found.dq[good])
        for name in ("resample", "photometry", "wcsinfo", "exposure", "background"):
            headers(expected, found, f"meta.{name}.")
    peer_step("read", ours)


def test_blended_headers(peer_step: Peer, tmp_path: Path) -> None:
    """Exposures of other times, one of two detectors: the same keywords, and the same table."""
    exposures = [Exposure(1), Exposure(1, east=1.0), Exposure(3, north=0.4)]
    association = associate(tmp_path, exposures, seed=3)
    for number, path in enumerate(sorted(tmp_path.glob("*_cal.fits"))):
        with models.open(path) as member:
            member.meta.instrument.detector = ("NRCA1", "NRCA2", "NRCA1")[number]
            member.meta.instrument.filter_wheel_tolerance = "within commanded tolerance"
            member.meta.observation.date_beg = f"2023-06-0{5 + number}T06:00:00.000"
            member.meta.exposure.segment_number = number + 1
            member.meta.visit.internal_target = number == 1
            member.meta.target.catalog_name = None if number == 1 else f"star {number}"
            member.save(path)
    theirs = peer_step("jwst.resample:ResampleStep", association)
    ours = ResampleStep().run(association).save(tmp_path / "x_i2d.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        for group in ("instrument", "observation", "exposure", "visit", "target", "asn"):
            headers(expected, found, f"meta.{group}.")
        one, other = expected.hdrtab, found.hdrtab
        names = set(one.dtype.names) - {"DATE"}  # when files were written
        assert names <= set(other.dtype.names)
        for name in names - {"FILENAME", "TARGNAME", "DATAMODL"}:
            if one[name].dtype.kind == "f":
                np.testing.assert_allclose(one[name], other[name], err_msg=name)
            else:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
        assert [b"star 0", b"", b"star 2"] == other["TARGNAME"].tolist()
        assert [b"d1a_cal.fits", b"d1b_cal.fits", b"d3c_cal.fits"] == other["FILENAME"].tolist()
        assert found.meta.instrument.detector == "MULTIPLE"
    peer_step("read", ours)


def headers(expected: models.DataModel, found: models.DataModel, group: str) -> None:
    """The same keywords, as far as both have them."""
    theirs, ours = expected.to_flat_dict(), found.to_flat_dict()
    for name in (theirs.keys() | ours.keys()) & found.schema.metadata.keys():
        if name.startswith(group) and not name.endswith("s_region"):
            if isinstance(theirs.get(name), float):
                # Its areas are sums of angles, of which a few arcseconds leave four digits.
                rel = 2e-4 if "pixelarea" in name else 5e-5
                assert pytest.approx(theirs[name], rel=rel) == ours.get(name), name
            else:
                assert theirs.get(name) == ours.get(name), name
