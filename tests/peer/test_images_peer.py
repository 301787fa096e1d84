"""Steps that calibrate images beside those of the peer: files in, files out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage2.bkg_subtract import BackgroundStep
from stpipe.steps.stage2.flat_field.step import FlatFieldStep
from stpipe.steps.stage2.photom.step import PhotomStep

Peer = Callable[..., Path]
ARRAYS = ("data", "err", "var_poisson", "var_rnoise", "var_flat")
RTOL = 2e-5


def keywords(shape: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """A header of a NIRCam subarray."""
    return {
        "meta.telescope": "JWST",
        "meta.instrument.name": "NIRCAM",
        "meta.instrument.detector": "NRCA1",
        "meta.instrument.channel": "SHORT",
        "meta.instrument.module": "A",
        "meta.instrument.filter": "F200W",
        "meta.instrument.pupil": "CLEAR",
        "meta.exposure.type": "NRC_IMAGE",
        "meta.exposure.mid_time": 60_100.25,
        "meta.observation.date": "2023-06-05",
        "meta.observation.time": "06:00:00",
        "meta.subarray.name": "SUB160",
        "meta.subarray.xstart": 101,
        "meta.subarray.ystart": 201,
        "meta.subarray.xsize": shape[-1],
        "meta.subarray.ysize": shape[-2],
        "meta.subarray.fastaxis": -1,
        "meta.subarray.slowaxis": 2,
        **more,
    }


def describe(model: models.DataModel, values: Mapping[str, Any]) -> Any:
    """Set many values."""
    for path, value in values.items():
        model.set(path, value)
    return model


def rates(rng: np.random.Generator, shape: tuple[int, ...], **more: Any) -> Any:
    """A rate, or the rates of integrations, with flags and pixels that are not known."""
    model = models.ImageModel() if len(shape) == 2 else models.CubeModel()
    model.data = rng.normal(2, 1, shape).astype(np.float32)
    model.var_poisson = rng.uniform(0.01, 0.2, shape).astype(np.float32)
    model.var_rnoise = rng.uniform(0.01, 0.1, shape).astype(np.float32)
    model.err = np.sqrt(model.var_poisson + model.var_rnoise)
    dq = np.where(rng.random(shape) < 0.05, dqflags.DO_NOT_USE | dqflags.DEAD, 0)
    dq |= np.where(rng.random(shape) < 0.1, dqflags.JUMP_DET, 0)
    model.dq = dq.astype(np.uint32)
    for name in ("data", "err", "var_poisson"):
        array = getattr(model, name).copy()
        array[rng.random(shape) < 0.02] = np.nan
        setattr(model, name, array)
    return describe(model, keywords(shape, **more))


def reference(model: models.DataModel, reftype: str, **more: Any) -> Any:
    """The header of a reference file."""
    values = {
        "meta.reftype": reftype.upper(),
        "meta.pedigree": "DUMMY",
        "meta.author": "test",
        "meta.description": "test",
        "meta.useafter": "2020-01-01T00:00:00",
    }
    return describe(model, {**values, **more})


def agree(theirs: Path, ours: Path, names: tuple[str, ...] = ARRAYS, atol: float = 1e-9) -> None:
    """Arrays to float32 rounding, flags bit for bit."""
    with models.open(theirs) as expected, models.open(ours) as found:
        assert type(expected) is type(found)
        for name in names:
            assert expected.has(name) == found.has(name), name
            if expected.has(name):
                one, other = getattr(expected, name), getattr(found, name)
                np.testing.assert_allclose(one, other, rtol=RTOL, atol=atol, err_msg=name)
        np.testing.assert_array_equal(expected.dq, found.dq)


def flat(rng: np.random.Generator, area: tuple[int, int, int, int]) -> Any:
    """A flat of a larger area (x, y, columns, rows) with all that may be wrong with a pixel."""
    x, y, columns, rows = area
    model = models.FlatModel()
    data = rng.normal(1, 0.1, (rows, columns))
    data[rng.random(data.shape) < 0.02] = 0
    data[rng.random(data.shape) < 0.02] = np.nan
    model.data = data.astype(np.float32)
    model.err = rng.uniform(0, 0.02, data.shape).astype(np.float32)
    bits = (dqflags.NO_FLAT_FIELD, dqflags.UNRELIABLE_FLAT, dqflags.DO_NOT_USE)
    model.dq = sum(np.where(rng.random(data.shape) < 0.03, b, 0) for b in bits).astype(np.uint32)
    place = {"xstart": x, "ystart": y, "xsize": columns, "ysize": rows}
    values = keywords((rows, columns)) | {f"meta.subarray.{n}": v for n, v in place.items()}
    return describe(reference(model, "flat"), values)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("supplied", [False, True])
@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)])
@pytest.mark.parametrize("area", [(101, 201, 50, 40), (91, 190, 80, 60)])
def test_flat_field(
    peer_step: Peer, tmp_path: Path, area: Any, shape: Any, supplied: bool, inverse: bool
) -> None:
    """Images and integrations, flats that fit and flats to be cut, both directions."""
    rng = np.random.default_rng(area[0] + len(shape))
    source = rates(rng, shape).save(tmp_path / "x_rate.fits")
    name = flat(rng, area).save(tmp_path / "flat.fits")
    parameters = {"user_supplied_flat" if supplied else "override_flat": str(name)}
    parameters |= {"inverse": inverse}
    unused = {f"override_{n}flat": "N/A" for n in "fsd"}
    theirs = peer_step("jwst.flatfield:FlatFieldStep", source, **parameters, **unused)
    ours = FlatFieldStep(**parameters).run(source).save(tmp_path / "x_flat_field.fits")

    agree(theirs, ours)
    with models.open(ours) as found:
        assert found.meta.ref_file.flat.name == "flat.fits"
    peer_step("read", ours)


def photom(rng: np.random.Generator, instrument: str, laws: str) -> Any:
    """A PHOTOM reference with several rows and laws of a loss of sensitivity."""
    model, second = {
        "NIRCAM": (models.NrcImgPhotomModel(), ("pupil", "CLEAR")),
        "NIRISS": (models.NisImgPhotomModel(), ("pupil", "F200W")),
        "MIRI": (models.MirImgPhotomModel(), ("subarray", "GENERIC")),
        "FGS": (models.FgsImgPhotomModel(), None),
    }[instrument]
    optics = ("F090W", "F770W", "F200W", "CLEAR") if second else ("",)
    for table in ("phot_table", *(f"timecoeff_{law}" for law in laws.split())):
        rows = np.zeros(len(optics), model.schema.arrays[table].dtype)
        for name in rows.dtype.names:
            rows[name] = rng.uniform(0.5, 1.5, rows.size) if rows[name].dtype.kind == "f" else b""
        if second and "filter" in rows.dtype.names:
            rows["filter"], rows[second[0]] = optics, second[1]
        if table == "phot_table":
            rows["photmjsr"] = rng.uniform(0.5, 1.5, rows.size)
        if "t0" in rows.dtype.names:
            rows["t0"] = 59_700.5
        if "tau" in rows.dtype.names:
            rows["tau"] = 200.0
        if "lossperyear" in rows.dtype.names:
            rows["lossperyear"] = 0.03
        model.set(table, rows)
    area = {"arcsecsq": 0.00096, "steradians": 2.25e-14}
    values = {f"meta.photometry.pixelarea_{n}": v for n, v in area.items()}
    values |= {"meta.telescope": "JWST", "meta.instrument.name": instrument}
    values |= {"meta.instrument.detector": OPTICS[instrument][0]}
    return reference(model, "photom", **values)


OPTICS = {
    "NIRCAM": ("NRCA1", "NRC_IMAGE", "F200W", "CLEAR"),
    "NIRISS": ("NIS", "NIS_IMAGE", "CLEAR", "F200W"),
    "MIRI": ("MIRIMAGE", "MIR_IMAGE", "F770W", None),
    "FGS": ("GUIDER1", "FGS_IMAGE", None, None),
}


@pytest.mark.parametrize("instrument", OPTICS)
@pytest.mark.parametrize("laws", ["", "linear", "exponential powerlaw"])
@pytest.mark.parametrize("shape", [(40, 50), (2, 40, 50)])
@pytest.mark.parametrize("inverse", [False, True])
def test_photom(
    peer_step: Peer, tmp_path: Path, instrument: str, laws: str, shape: Any, inverse: bool
) -> None:
    """Every imager, with and without a loss of sensitivity, both directions, and pixel areas."""
    if instrument == "NIRISS" and len(shape) > 2:
        pytest.skip("the peer does not know integrations of NIRISS")
    if instrument == "FGS" and laws:
        pytest.skip("the guider's reference has no laws")
    rng = np.random.default_rng(len(laws))
    detector, kind, filter_name, pupil = OPTICS[instrument]
    image = rates(rng, shape)
    image.var_flat = rng.uniform(0, 0.1, shape).astype(np.float32)
    optics = {"name": instrument, "detector": detector, "filter": filter_name, "pupil": pupil}
    optics |= {"channel": None, "module": None} if instrument != "NIRCAM" else {}
    describe(image, {f"meta.instrument.{n}": v for n, v in optics.items()})
    image.meta.exposure.type = kind
    source = image.save(tmp_path / "x_rate.fits")
    files = {"photom": photom(rng, instrument, laws).save(tmp_path / "photom.fits")}
    area = reference(models.PixelAreaModel(), "area", **keywords((2048, 2048)))
    area.meta.subarray.xstart = area.meta.subarray.ystart = 1
    area.data = rng.uniform(0.9, 1.1, (2048, 2048)).astype(np.float32)
    area.meta.photometry.pixelarea_steradians = 2.2e-14
    area.meta.photometry.pixelarea_arcsecsq = 0.00095
    files["area"] = area.save(tmp_path / "area.fits") if inverse else "N/A"
    parameters = {f"override_{n}": str(p) for n, p in files.items()} | {"inverse": inverse}
    theirs = peer_step("jwst.photom:PhotomStep", source, **parameters)
    ours = PhotomStep(**parameters).run(source).save(tmp_path / "x_cal.fits")

    agree(theirs, ours, (*ARRAYS, "area"))
    with models.open(theirs) as expected, models.open(ours) as found:
        names = ("conversion_megajanskys", "conversion_microjanskys")
        for name in (*names, "pixelarea_steradians", "pixelarea_arcsecsq"):
            one = getattr(expected.meta.photometry, name)
            assert pytest.approx(one, rel=1e-6) == getattr(found.meta.photometry, name)
        assert expected.meta.bunit_data == found.meta.bunit_data
        assert expected.meta.bunit_err == found.meta.bunit_err
    peer_step("read", ours)


@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)])
@pytest.mark.parametrize(("sigma", "maxiters"), [(3.0, None), (1.2, 1)])
def test_background(
    peer_step: Peer, tmp_path: Path, shape: Any, sigma: float, maxiters: int | None
) -> None:
    """Outliers, integrations, and backgrounds that cover the exposure in part or not at all."""
    rng = np.random.default_rng(7)
    source = rates(rng, shape).save(tmp_path / "x_rate.fits")
    paths = []
    places = [(101, 201), (101, 201), (101, 201), (91, 190), (400, 400)]
    # Of integrations that do not reach everywhere the peer averages zeros.
    for number, (x, y) in enumerate(places if len(shape) == 2 else places[:3]):
        place = {"meta.subarray.xstart": x, "meta.subarray.ystart": y}
        background = rates(rng, shape, **place)
        data = np.nan_to_num(background.data, nan=1.0)
        data[..., 10:20, 10:20] += 50 * (number == 1)
        background.data, background.err = data, np.nan_to_num(background.err)
        paths.append(background.save(tmp_path / f"b{number}_rate.fits"))
    parameters = {"sigma": sigma, "maxiters": maxiters, "bkg_list": list(map(str, paths))}
    theirs = peer_step("jwst.background:BackgroundStep", source, **parameters)
    ours = BackgroundStep(**parameters).run(source).save(tmp_path / "x_bsub.fits")

    agree(theirs, ours, atol=1e-6)  # of differences of values near 1
    peer_step("read", ours)
