"""Fluxes, and exposures that the reference does not list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.science.flux import time_correction
from stpipe.steps.stage2.photom.step import PhotomStep


def test_photom_without_an_entry_says_so(rate: Path) -> None:
    """SKIPPED, with what was looked for; data stay."""
    with models.open(rate) as image:
        image.meta.instrument.filter = "F090W"
        product = PhotomStep().run(image)
        assert "SKIPPED" == product.meta.cal_step.photom
        assert "filter F090W" in product.provenance[-1]["reason"]
        np.testing.assert_array_equal(image.data, product.data)


def test_sensitivity_falls_as_the_laws_say() -> None:
    """Several laws multiply; without laws nothing is corrected."""
    meta = {"meta.exposure.mid_time": 60_365.0}
    linear = np.array([(60_000.0, 0.1)], [("t0", "f8"), ("lossperyear", "f8")])[0]
    columns = [(n, "f8") for n in ("t0", "amplitude", "tau", "const")]
    exponential = np.array([(60_000.0, 0.5, 365.0, 0.4)], columns)[0]

    assert 1.0 == time_correction({}, meta)
    assert pytest.approx(0.9) == time_correction({"linear": linear}, meta)
    both = time_correction({"linear": linear, "exponential": exponential}, meta)
    assert pytest.approx(0.9 * (0.5 / np.e + 0.4)) == both


def slices_references(folder: Path) -> dict[str, str]:
    """PHOTOM and AREA references of two slices, with a loss of a tenth in a year."""
    photom = models.NrsMosPhotomModel()
    waves = np.linspace(1, 2, 5)
    kinds = photom.schema.arrays["phot_table"].dtype
    fields = [
        (n, kinds[n].base, (5,) if "wave" in n or n.startswith("rel") else ()) for n in kinds.names
    ]
    row = np.zeros(1, fields)
    row["filter"], row["grating"], row["photmj"], row["nelem"] = b"F100LP", b"G140M", 2.0, 5
    row["wavelength"], row["relresponse"] = waves, waves
    photom.phot_table = row
    loss = photom.schema.arrays["timecoeff_linear"].dtype
    photom.timecoeff_linear = np.array([(b"F100LP", b"G140M", 60_000.0, 0.1)], loss)
    area = models.NirspecIfuAreaModel()
    area.area_table = np.array([(0, 0.01), (1, 0.02)], area.schema.arrays["area_table"].dtype)
    found = {}
    for name, model in (("photom", photom), ("area", area)):
        for path, value in describe(name).items():
            model.set(path, value)
        found[f"override_{name}"] = str(model.save(folder / f"{name}.fits"))
    return found


def describe(name: str) -> dict[str, str]:
    return {
        "meta.telescope": "JWST",
        "meta.reftype": name.upper(),
        "meta.pedigree": "DUMMY",
        "meta.author": "test",
        "meta.description": "test",
        "meta.useafter": "2020-01-01T00:00:00",
        "meta.instrument.name": "NIRSPEC",
    }


def test_slices_are_divided_by_their_own_area(tmp_path: Path) -> None:
    """MJy/sr, with the sensitivity of the day; ends of the table count beyond them."""
    image = models.IFUImageModel(np.ones((3, 4), np.float32))
    for name in ("err", "var_poisson", "var_rnoise"):
        image.set(name, np.ones((3, 4), np.float32))
    image.dq = np.zeros((3, 4), np.uint32)
    image.regions = np.array([[1] * 4, [2] * 4, [0] * 4], np.int32)
    image.wavelength = np.tile(np.float32([0.5, 1.0, 1.5, 2.5]), (3, 1))
    values = {
        "instrument.name": "NIRSPEC",
        "instrument.filter": "F100LP",
        "instrument.grating": "G140M",
        "exposure.type": "NRS_IFU",
        "exposure.mid_time": 60_365.0,
    }
    for name, value in values.items():
        image.set(f"meta.{name}", value)
    product = PhotomStep(**slices_references(tmp_path)).run(image)

    steradian = np.deg2rad(1 / 3600) ** 2
    response = np.array([1.0, 1.0, 1.5, 2.0])
    for row, area in ((0, 0.01), (1, 0.02)):
        expected = 2.0 * response / 0.9 / (area * steradian)
        np.testing.assert_allclose(product.data[row], expected, rtol=1e-6)
    np.testing.assert_array_equal(product.data[2], 1)
    assert (product.dq[2] & 512 != 0).all()
    assert not product.dq[:2].any()
    assert "MJy/sr" == product.meta.bunit_data
    assert pytest.approx(0.015 * steradian) == product.meta.photometry.pixelarea_steradians
