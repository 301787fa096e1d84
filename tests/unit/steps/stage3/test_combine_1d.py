"""Spectra of several exposures become one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.steps.stage3.combine_1d import Combine1dStep


def spectrum(flux: float, seconds: float | None = 100.0, orders: tuple[int, ...] = (1,)) -> Any:
    """The same flux at all wavelengths."""
    model = models.MultiSpecModel()
    model.meta.exposure.exposure_time = seconds
    model.meta.exposure.integration_time = 10.0
    dtype = model.schema.lists["spec"].arrays["spec_table"].dtype
    for order in orders:
        table = np.zeros(20, dtype)
        table["WAVELENGTH"] = 1 + 0.1 * np.arange(20)
        table["FLUX"], table["FLUX_ERROR"] = flux * order, 0.1
        model.spec.append({"spec_table": table, "spectral_order": order, "source_id": 7})
        model.spec[-1].set_units("spec_table", {"FLUX": "Jy"})
    return model


@pytest.mark.parametrize(
    ("key", "expected"),
    [("exposure_time", 1.75), ("integration_time", 1.5), ("unit_weight", 1.5)],
)
def test_fluxes_are_weighted_by_time(tmp_path: Path, key: str, expected: float) -> None:
    """The mean of two, by either time or none; files and models alike."""
    given = [spectrum(1.0), spectrum(2.0, 300.0)]
    found = Combine1dStep(exptime_key=key).run(given)

    table = found.spec[0].spec_table
    np.testing.assert_allclose(table["FLUX"], expected)
    assert (table["N_INPUT"] == 2).all()
    assert 7 == found.spec[0].source_id
    assert "Jy" == found.spec[0].units("spec_table")["ERROR"]
    paths = [model.save(tmp_path / f"{n}_x1d.fits") for n, model in enumerate(given)]
    again = Combine1dStep(exptime_key=key).run(paths)
    np.testing.assert_array_equal(table, again.spec[0].spec_table)


def test_orders_are_combined_one_by_one() -> None:
    found = Combine1dStep().run([spectrum(1.0, orders=(1, 2)), spectrum(3.0, orders=(2,))])
    assert [1, 2] == [part.spectral_order for part in found.spec]
    assert [1.0, 4.0] == [pytest.approx(part.spec_table["FLUX"][5]) for part in found.spec]


def test_far_fluxes_are_left_out() -> None:
    given = [spectrum(1.0), spectrum(1.1), spectrum(1.2), spectrum(50.0)]
    found = Combine1dStep(sigma_clip=5.0).run(given)
    np.testing.assert_allclose(found.spec[0].spec_table["FLUX"], 1.1)


def test_without_fluxes_there_is_nothing_to_combine() -> None:
    step = Combine1dStep()
    assert step.run(spectrum(np.nan)) is None
    assert "no spectrum has fluxes" in step.why_nothing


def test_the_time_that_is_lacking_is_named() -> None:
    with pytest.raises(InputError, match=r"EXPOSURE_TIME.*unit_weight"):
        Combine1dStep().run([spectrum(1.0, None)])
