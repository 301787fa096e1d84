"""Mosaics beside the peer: `python tests/benchmarks/image3.py [RUNS [SIZE]]`.

Simulates calibrated images of a field of stars, SIZE x SIZE pixels each (1024), runs `calwebb_image3`
of both packages alternately as whole processes on the same association, and prints a Markdown table.
Sources are not measured, as the peer needs reference files for that. PEER_PYTHON names the
interpreter of the peer's environment; without it only our own figures are measured.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import Cost, alternate, run

BIN = Path(sys.executable).parent
OPTIONS = ["--steps.source_catalog.skip=true"]
PEER_OPTIONS = [*OPTIONS, "--in_memory=false"]  # as lean as it can be
ENVIRONMENT = {"STPIPE_DISABLE_CRDS_STEPPARS": "true"}  # no reference files are needed
FIELD = (80.4875, -69.4975)
FIRST = 513  # column and row on the detector


def simulate(folder: Path, count: int, size: int) -> None:
    """Calibrated images of one field, dithered by up to two arcseconds, and their association."""
    rng = np.random.default_rng(count)
    spread = size * 0.0311 / 2 + 3
    stars = rng.uniform(-spread, spread, (2, size // 4)), rng.lognormal(3, 1, size // 4)
    names = [f"d{number:03d}_cal.fits" for number in range(count)]
    for number, name in enumerate(names):
        _image(number, size, stars, rng).save(folder / name)
    members = [{"expname": name, "exptype": "science"} for name in names]
    content = {
        "asn_type": "image3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "01234",
        "products": [{"name": "mosaic", "members": members}],
    }
    (folder / "asn.json").write_text(json.dumps(content))


def _image(number: int, size: int, stars: Any, rng: np.random.Generator) -> Any:
    from stpipe import models
    from stpipe.science.wcs.imaging import s_region

    model = models.ImageModel()
    shift = rng.uniform(-2, 2, 2)
    for path, value in _keywords(number, size, shift).items():
        model.set(path, value)
    model.meta.wcs = _wcs(model.to_flat_dict(), size)
    model.meta.wcsinfo.s_region = s_region(model.meta.wcs)
    data = rng.normal(1, 0.05, (size, size)).astype(np.float32)
    _add_stars(data, model.meta.wcs, stars)
    model.data = data
    for name, level in (("var_poisson", 1e-3), ("var_rnoise", 1e-3), ("var_flat", 5e-4)):
        setattr(model, name, np.full((size, size), level, np.float32))
    model.err = np.full((size, size), 0.05, np.float32)
    model.dq = (rng.random((size, size)) < 0.002).astype(np.uint32)
    return model


def _wcs(meta: dict[str, Any], size: int) -> Any:
    from stpipe.demo.detectors import find_detector
    from stpipe.demo.optics import distortion_model
    from stpipe.science.wcs.imaging import imaging_wcs

    return imaging_wcs(meta, (size, size), distortion_model(find_detector("NIRCAM")), ())


def _add_stars(data: Any, wcs: Any, stars: Any) -> None:
    (east, north), peaks = stars
    dec = FIELD[1] + north / 3600
    ra = FIELD[0] + east / 3600 / np.cos(np.deg2rad(FIELD[1]))
    size = len(data)
    for x, y, peak in zip(*wcs.invert(ra, dec, with_bounding_box=False), peaks, strict=True):
        if 8 < x < size - 9 and 8 < y < size - 9:
            rows, columns = np.mgrid[int(y) - 7 : int(y) + 8, int(x) - 7 : int(x) + 8]
            star = peak * np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / 1.21)
            data[int(y) - 7 : int(y) + 8, int(x) - 7 : int(x) + 8] += star.astype(np.float32)


def _keywords(number: int, size: int, shift: Any) -> dict[str, Any]:
    from stpipe.demo.detectors import Subarray, find_detector
    from stpipe.demo.optics import reference_point

    area = Subarray("FULL", FIRST, FIRST, size, size, 10.7)
    v2, v3 = reference_point(find_detector("NIRCAM"), area)
    observation = {
        "program_number": "01234",
        "observation_number": "001",
        "visit_number": "001",
        "visit_group": "02",
        "sequence_id": "1",
        "activity_id": "01",
        "exposure_number": f"{number + 1:05d}",
        "date": "2024-01-01",
        "time": "00:00:00",
    }
    instrument = {
        "name": "NIRCAM",
        "detector": "NRCA1",
        "channel": "SHORT",
        "module": "A",
        "filter": "F200W",
        "pupil": "CLEAR",
    }
    exposure = {
        "type": "NRC_IMAGE",
        "exposure_time": 100.0,
        "measurement_time": 100.0,
        "duration": 110.0,
        "start_time": 60_000.0 + number,
        "end_time": 60_000.001 + number,
    }
    subarray = {"name": "FULL", "xstart": FIRST, "ystart": FIRST, "xsize": size, "ysize": size}
    ra = FIELD[0] + shift[0] / 3600 / np.cos(np.deg2rad(FIELD[1]))
    wcsinfo = {
        "v2_ref": v2,
        "v3_ref": v3,
        "v3yangle": -0.5627898,
        "vparity": -1,
        "roll_ref": 30.0,
        "ra_ref": float(ra),
        "dec_ref": float(FIELD[1] + shift[1] / 3600),
    }
    photometry = {"pixelarea_steradians": 2.31e-14, "pixelarea_arcsecsq": 0.000983}
    groups = {
        "observation": observation,
        "instrument": instrument,
        "exposure": exposure,
        "subarray": subarray,
        "wcsinfo": wcsinfo,
        "photometry": photometry,
    }
    flat = {f"meta.{g}.{n}": v for g, values in groups.items() for n, v in values.items()}
    done = {f"meta.cal_step.{s}": "COMPLETE" for s in ("assign_wcs", "flat_field", "photom")}
    units = {"meta.bunit_data": "MJy/sr", "meta.bunit_err": "MJy/sr", "meta.telescope": "JWST"}
    return {**flat, **done, **units}


def ours(folder: Path) -> Cost:
    """Our pipeline on the association in `folder`."""
    words = [BIN / "strun", "calwebb_image3", "asn.json", "--output_dir=ours", *OPTIONS]
    return run(words, folder, ENVIRONMENT)


def peer(folder: Path) -> Cost:
    """The peer's pipeline on the same association."""
    strun = Path(os.environ["PEER_PYTHON"]).parent / "strun"
    (folder / "peer").mkdir(exist_ok=True)
    words = [strun, "calwebb_image3", "asn.json", "--output_dir=peer", *PEER_OPTIONS]
    return run(words, folder, ENVIRONMENT)


def main() -> None:
    """Measure 5 and 20 exposures and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    print(f"Medians of {runs} runs; exposures of {size} x {size} pixels.\n")
    print("| exposures | ours | jwst 3.0.0 | times faster | memory |")
    print("|---|---|---|---|---|")
    for count in (5, 20):
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            print(_row(count, size, Path(scratch), runs), flush=True)


def _row(count: int, size: int, folder: Path, runs: int) -> str:
    # In a process of its own: the peak memory of a child counts from that of its parent.
    with ProcessPoolExecutor(1) as pool:
        pool.submit(simulate, folder, count, size).result()
    contestants = [partial(ours, folder)]
    if "PEER_PYTHON" in os.environ:
        contestants.append(partial(peer, folder))
    own, *others = alternate(runs, *contestants)
    columns: list[object] = [count, own]
    if others:
        theirs = others[0]
        columns += [theirs, f"{theirs.wall / own.wall:.1f}", f"1/{theirs.peak / own.peak:.1f}"]
    else:
        columns += ["", "", ""]
    return "| " + " | ".join(map(str, columns)) + " |"


if __name__ == "__main__":
    main()
