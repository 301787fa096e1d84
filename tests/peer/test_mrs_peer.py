"""MIRI's medium-resolution spectrometer from rates to surface brightness, beside the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mrs_optics import SHAPE, exposure, optics
from mrs_references import image, photom, xartcorr

from stpipe import models
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.science.background.stray_light import profile, scattered, showers

Peer = Callable[..., Path]


def test_scattered_light(peer: Callable[..., Any], tmp_path: Path) -> None:
    """What pixels send along their row."""
    rows, columns = 12, 300
    with models.open(xartcorr(tmp_path / "x.fits", rows)) as reference:
        table = np.asarray(reference.ch3b_table)
    light = np.random.default_rng(1).exponential(50, (rows, columns)).astype(np.float32)
    given = {name: table[name] for name in table.dtype.names or () if name != "yrow"}
    expected = peer("scattered", {}, light=light, **given)["stray"]
    found = scattered(light, profile(table, columns))
    np.testing.assert_allclose(expected, found, rtol=1e-6)


def test_showers(peer: Callable[..., Any]) -> None:
    """What is seen between slices is smoothed."""
    rng = np.random.default_rng(2)
    shape = (130, 170)
    data = rng.normal(0.4, 0.1, shape).astype(np.float32)
    data[rng.random(shape) < 1e-2] = np.nan
    dq = np.where(rng.random(shape) < 1e-2, dqflags.REFERENCE_PIXEL, 0).astype(np.uint32)
    slices = np.where(np.arange(shape[1]) // 9 % 2, 301, 0) + np.zeros(shape, np.int32)
    rules = (18.0, 5.0, 0.1, 99.9)
    expected = peer("showers", {"rules": rules}, data=data, dq=dq, slices=slices)["data"]
    light = showers(data, (slices == 0) & (dq == 0), rules[:2], rules[2:])
    np.testing.assert_allclose(expected, data - light, rtol=2e-5, atol=1e-6)


def test_calwebb_spec2(peer_step: Peer, tmp_path: Path) -> None:
    """From rates to surface brightness; what rows scatter takes the peer minutes, and has its test."""
    rng = np.random.default_rng(11)
    source = exposure("MIRIFULONG", "MEDIUM", 5_000.0)
    source.data = rng.normal(0.3, 0.2, SHAPE).astype(np.float32)
    source.data[rng.random(SHAPE) < 1e-3] = np.nan
    source.dq = np.where(rng.random(SHAPE) < 1e-2, dqflags.HOT, 0).astype(np.uint32)
    source.var_poisson = source.var_rnoise = rng.uniform(0.01, 0.05, SHAPE).astype(np.float32)
    source.err = np.sqrt(2 * source.var_poisson)
    source.meta.exposure.mid_time = 61_041.3
    optic = optics("MIRIFULONG", "MEDIUM", tmp_path)
    files = {
        "assign_wcs": optic,
        "flat_field": {"flat": image(tmp_path / "flat.fits", "flat")},
        "fringe": {"fringe": image(tmp_path / "fringe.fits", "fringe")},
        "photom": {"photom": photom(tmp_path / "photom.fits"), "area": "N/A"},
    }
    steps: dict[str, dict[str, Any]] = {
        step: {f"override_{reftype}": file for reftype, file in chosen.items()}
        for step, chosen in files.items()
    }
    steps["straylight"] = {"skip": True}
    steps["cube_build"] = {"skip": True}  # has its own test
    path = Path(source.save(tmp_path / "x_rate.fits"))
    ours = Path(Spec2Pipeline(steps=steps).run(path).calibrated.save(tmp_path / "x_cal.fits"))
    folder = tmp_path / "peer"
    folder.mkdir()
    never = {name: {"skip": True} for name in ("extract_1d",)}
    given = {"steps": {**steps, **never}, "save_results": True, "output_dir": str(folder)}
    peer_step("jwst.pipeline:Spec2Pipeline", path, **given)

    with models.open(folder / "x_cal.fits") as expected, models.open(ours) as found:
        np.testing.assert_array_equal(expected.dq, found.dq)
        for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            one, other = getattr(expected, name), getattr(found, name)
            np.testing.assert_allclose(one, other, rtol=2e-5, err_msg=name)
        for name in ("bunit_data", "photometry.conversion_megajanskys"):
            assert expected.get(f"meta.{name}") == found.get(f"meta.{name}")
    peer_step("read", ours)
