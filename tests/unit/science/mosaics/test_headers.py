"""Headers of many exposures in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stpipe import models
from stpipe.science.mosaics.headers import blended, header_table


def test_rules_of_keywords() -> None:
    """Extremes, sums and means of times; optics that differ; what is missing is left out."""
    headers = [
        {
            "meta.observation.date": "2024-02-01",
            "meta.exposure.mid_time": 3.0,
            "meta.exposure.duration": 10.0,
            "meta.instrument.filter": "F090W",
            "meta.instrument.detector": "NRCA1",
            "meta.instrument.filter_wheel_tolerance": "within commanded tolerance",
        },
        {
            "meta.observation.date": "2024-01-31",
            "meta.exposure.mid_time": 4.0,
            "meta.exposure.duration": 12.5,
            "meta.instrument.filter": "F090W",
            "meta.instrument.detector": "NRCA2",
            "meta.instrument.filter_wheel_tolerance": "outside calibration tolerance",
            "meta.exposure.end_time": 5.0,
        },
    ]
    assert {
        "meta.observation.date": "2024-01-31",
        "meta.exposure.mid_time": 3.5,
        "meta.exposure.duration": 22.5,
        "meta.instrument.filter": "F090W",
        "meta.instrument.detector": "MULTIPLE",
        "meta.instrument.filter_wheel_tolerance": "outside calibration tolerance",
        "meta.exposure.end_time": 5.0,
    } == blended(headers)


def test_table_of_keywords(tmp_path: Path) -> None:
    """Columns of what one exposure has at least, and the table survives a file."""
    image = models.ImageModel(np.zeros((2, 2)))
    headers = [
        {"meta.filename": "a.fits", "meta.exposure.nints": 2, "meta.wcsinfo.a_2_0": 1.0},
        {"meta.filename": "longer.fits", "meta.exposure.nints": 3, "meta.target.ra": 5.5},
        {"meta.exposure.nints": 4, "meta.visit.internal_target": True},
    ]
    table = header_table(headers, image.schema.metadata)

    assert {"FILENAME", "NINTS", "TARG_RA", "INTARGET"} == set(table.dtype.names)
    assert [b"a.fits", b"longer.fits", b""] == table["FILENAME"].tolist()
    assert [2, 3, 4] == table["NINTS"].tolist()
    np.testing.assert_array_equal([np.nan, 5.5, np.nan], table["TARG_RA"])
    image.hdrtab = table
    with models.open(image.save(tmp_path / "x_i2d.fits")) as again:
        assert table.dtype == again.hdrtab.dtype
        assert table["FILENAME"].tolist() == again.hdrtab["FILENAME"].tolist()
