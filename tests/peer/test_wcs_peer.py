"""World coordinates beside those of the peer, from real references: to a milliarcsecond."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep

SHARED = Path(__file__).parents[3] / "shared/data/crds_jwst/references/jwst"
MILLIARCSECOND = 1e-3 / 3600  # degrees

# detector, exposure type, filter, pupil, subarray (x, y, columns, rows), velocity aberration,
# distortion, filteroffset
CASES = {
    "NIRCam long": (
        ("NIRCAM", "NRCALONG", "NRC_IMAGE", "F444W", "CLEAR"),
        ("FULL", 1, 1, 2048, 2048),
        (1.00004, "nircam_distortion_0090", "nircam_filteroffset_0001"),
    ),
    "NIRCam narrow, subarray": (
        ("NIRCAM", "NRCBLONG", "NRC_TSIMAGE", "F444W", "F470N"),
        ("SUB320", 865, 1013, 320, 320),
        (0.99996, "nircam_distortion_0096", "nircam_filteroffset_0002"),
    ),
    "NIRISS": (
        ("NIRISS", "NIS", "NIS_IMAGE", "CLEAR", "F150W"),
        ("FULL", 1, 1, 2048, 2048),
        (None, "niriss_distortion_0010", None),
    ),
    "NIRISS, rows": (
        ("NIRISS", "NIS", "NIS_AMI", "F480M", "NRM"),
        ("SUB80", 1045, 1, 80, 80),
        (1.0, "niriss_distortion_0010", None),
    ),
    "MIRI": (
        ("MIRI", "MIRIMAGE", "MIR_IMAGE", "F2550W", None),
        ("FULL", 1, 1, 1032, 1024),
        (1.00009, "miri_distortion_0028", "miri_filteroffset_0005"),
    ),
    "MIRI, subarray": (
        ("MIRI", "MIRIMAGE", "MIR_IMAGE", "F1000W", None),
        ("BRIGHTSKY", 457, 51, 512, 512),
        (1.00009, "miri_distortion_0028", "miri_filteroffset_0005"),
    ),
    "guider": (
        ("FGS", "GUIDER1", "FGS_IMAGE", None, None),
        ("FULL", 1, 1, 2048, 2048),
        (
            1.00002,
            "niriss_distortion_0010",
            None,
        ),  # no real reference at hand; any transform will do
    ),
}


def reference(name: str) -> Path:
    """A real reference file."""
    path = SHARED / name.partition("_")[0] / f"jwst_{name}.asdf"
    if not path.is_file():
        pytest.skip(f"there is no {path}: the folder of shared data is absent")
    return path


def exposure(optics: Any, subarray: Any, scale: float | None, seed: int) -> models.ImageModel:
    """An image with a random pointing."""
    instrument, detector, kind, filter_name, pupil = optics
    name, xstart, ystart, columns, rows = subarray
    rng = np.random.default_rng(seed)
    image = models.ImageModel(rng.normal(1, 0.1, (rows, columns)).astype(np.float32))
    values = {
        "meta.telescope": "JWST",
        "meta.instrument.name": instrument,
        "meta.instrument.detector": detector,
        "meta.instrument.filter": filter_name,
        "meta.instrument.pupil": pupil,
        "meta.instrument.channel": "LONG" if "LONG" in detector else None,
        "meta.exposure.type": kind,
        "meta.observation.date": "2024-01-01",
        "meta.observation.time": "00:00:00",
        "meta.subarray.name": name,
        "meta.subarray.xstart": xstart,
        "meta.subarray.ystart": ystart,
        "meta.subarray.xsize": columns,
        "meta.subarray.ysize": rows,
        "meta.wcsinfo.crpix1": (columns + 1) / 2,
        "meta.wcsinfo.crpix2": (rows + 1) / 2,
        "meta.wcsinfo.v2_ref": float(rng.uniform(-400, 400)),
        "meta.wcsinfo.v3_ref": float(rng.uniform(-800, -300)),
        "meta.wcsinfo.v3yangle": float(rng.uniform(-5, 5)),
        "meta.wcsinfo.vparity": -1,
        "meta.wcsinfo.roll_ref": float(rng.uniform(0, 360)),
        "meta.wcsinfo.ra_ref": float(rng.choice([0.0, 359.999, rng.uniform(0, 360)])),
        "meta.wcsinfo.dec_ref": float(rng.uniform(-89, 89)),
        "meta.velocity_aberration.scale_factor": scale,
    }
    for path, value in values.items():
        image.set(path, value)
    return image


def overrides(distortion: str, filteroffset: str | None) -> dict[str, str]:
    """The references of a case, as parameters that both understand."""
    given = {"distortion": str(reference(distortion))}
    given["filteroffset"] = str(reference(filteroffset)) if filteroffset else "N/A"
    return {f"override_{name}": value for name, value in {**given, "specwcs": "N/A"}.items()}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_images(peer_step: Callable[..., Path], tmp_path: Path, case: str, seed: int) -> None:
    """Every imager, full frames and subarrays: sky, inverse, outline and FITS keywords."""
    optics, subarray, (scale, *files) = CASES[case]
    source = exposure(optics, subarray, scale, seed).save(tmp_path / "x_rate.fits")
    parameters = overrides(*files)
    theirs = peer_step("jwst.assign_wcs:AssignWcsStep", source, **parameters)
    ours = AssignWcsStep(**parameters).run(source).save(tmp_path / "x_assign_wcs.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        rows, columns = np.mgrid[0 : subarray[4] - 1 : 33j, 0 : subarray[3] - 1 : 33j]
        theirs_sky, ours_sky = expected.meta.wcs(columns, rows), found.meta.wcs(columns, rows)
        for one, other in zip(theirs_sky, ours_sky, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 * MILLIARCSECOND)
        assert expected.meta.wcs.bounding_box == found.meta.wcs.bounding_box
        assert expected.meta.wcs.available_frames == found.meta.wcs.available_frames
        sky = expected.meta.wcs(columns, rows)
        back = found.meta.wcs.invert(*sky)
        np.testing.assert_allclose(back, expected.meta.wcs.invert(*sky), rtol=0, atol=1e-5)
        keywords(expected, found)
    peer_step("read", ours)


def keywords(expected: models.DataModel, found: models.DataModel) -> None:
    """The same keywords; numbers agree as far as two fits of a polynomial do."""
    theirs, ours = expected.to_flat_dict(), found.to_flat_dict()
    # What the schema does not have, the peer keeps without a keyword.
    names = {n for n in found.schema.metadata if n.startswith("meta.wcsinfo")}
    names &= theirs.keys() | ours.keys()
    for name in names:
        if isinstance(theirs.get(name), float):
            assert pytest.approx(theirs[name], rel=1e-6, abs=1e-22) == ours[name], name
        elif not name.endswith("s_region"):
            assert theirs.get(name) == ours.get(name), name
    one, other = (m["meta.wcsinfo.s_region"].split() for m in (theirs, ours))
    assert one[:2] == other[:2]
    np.testing.assert_allclose(
        np.array(one[2:], float), np.array(other[2:], float), rtol=0, atol=1e-8
    )


def lrs_table() -> Any:
    """A table like the real one: a slightly bent trace, wavelength falling with the row."""
    dtype = models.MiriLRSSpecwcsModel().schema.arrays["wavetable"].dtype
    rows = np.arange(387, -1, -1) - 294.0
    table = np.zeros(rows.size, dtype)
    table["y_center"], table["x_center"] = rows, 0.3 + 1e-3 * rows + 4e-6 * rows**2
    table["wavelength"] = 9.6 - 0.0215 * rows - 1.3e-5 * rows**2
    for corner, (x, y) in enumerate([(-20, 0.5), (20, 0.5), (20, -0.5), (-20, -0.5)]):
        table[f"x{corner}"], table[f"y{corner}"] = table["x_center"] + x, rows + y
    return table


def specwcs(path: Path) -> Path:
    """A SPECWCS reference of LRS."""
    model = models.MiriLRSSpecwcsModel()
    values = {
        "meta.telescope": "JWST",
        "meta.reftype": "SPECWCS",
        "meta.pedigree": "GROUND",
        "meta.author": "test",
        "meta.description": "test",
        "meta.useafter": "2020-01-01T00:00:00",
        "meta.instrument.name": "MIRI",
        "meta.instrument.detector": "MIRIMAGE",
        "meta.x_ref": 326.13,
        "meta.y_ref": 299.7,
        "meta.x_ref_slitless": 38.5,
        "meta.y_ref_slitless": 829.0,
    }
    corners = [(-414.7, -400.6), (-419.4, -400.2), (-419.4, -400.7), (-414.7, -401.1)]
    for number, (v2, v3) in enumerate(corners, 1):
        values |= {f"meta.v2_vert{number}": v2, f"meta.v3_vert{number}": v3}
    for name, value in values.items():
        model.set(name, value)
    model.wavetable = lrs_table()
    return model.save(path)


@pytest.mark.parametrize("slit", ["FIXEDSLIT", "SLITLESS"])
@pytest.mark.parametrize("velosys", [None, 23_000.0])
def test_lrs(
    peer_step: Callable[..., Path], tmp_path: Path, slit: str, velosys: float | None
) -> None:
    """Sky and wavelength of every pixel, with and without a slit, and the way back."""
    slitless = ("SLITLESSPRISM", 1, 529, 72, 416)
    subarray = slitless if slit == "SLITLESS" else ("FULL", 1, 1, 1032, 1024)
    optics = ("MIRI", "MIRIMAGE", f"MIR_LRS-{slit}", "P750L", None)
    image = exposure(optics, subarray, 1.00005, 5)
    image.meta.wcsinfo.velosys = velosys
    image.meta.dither.x_offset, image.meta.dither.y_offset = 0.5, -0.2
    source = image.save(tmp_path / "x_rate.fits")
    parameters = overrides("miri_distortion_0028", None)
    parameters["override_specwcs"] = str(specwcs(tmp_path / "specwcs.fits"))
    theirs = peer_step("jwst.assign_wcs:AssignWcsStep", source, **parameters)
    ours = AssignWcsStep(**parameters).run(source).save(tmp_path / "x_assign_wcs.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        (x0, x1), (y0, y1) = expected.meta.wcs.bounding_box
        np.testing.assert_allclose(
            np.array(expected.meta.wcs.bounding_box), np.array(found.meta.wcs.bounding_box)
        )
        rows, columns = np.mgrid[y0 + 2 : y1 - 2 : 50j, x0 + 1 : x1 - 1 : 9j]
        one, other = expected.meta.wcs(columns, rows), found.meta.wcs(columns, rows)
        assert np.isfinite(one[2]).all()
        for left, right in zip(one, other, strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-2 * MILLIARCSECOND)
        back = found.meta.wcs.invert(*other)
        np.testing.assert_allclose(back, expected.meta.wcs.invert(*one), rtol=0, atol=1e-6)
        np.testing.assert_allclose(expected.wavelength, found.wavelength, rtol=1e-6)
        theirs_flat, ours_flat = expected.to_flat_dict(), found.to_flat_dict()
        for name in ("meta.wcsinfo.s_region", "meta.wcsinfo.specsys"):
            assert theirs_flat.get(name) == ours_flat.get(name)
        for name in ("meta.dither.dithered_ra", "meta.dither.dithered_dec"):
            if slit == "FIXEDSLIT":
                assert pytest.approx(theirs_flat[name], abs=1e-9) == ours_flat[name]
        assert expected.meta.wcsinfo.dispersion_direction == 2
        assert found.meta.wcsinfo.dispersion_direction == 2
    peer_step("read", ours)
