"""Fringes and surface brightness of MIRI's medium-resolution spectrometer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.modeling.models import Const1D, Mapping, Polynomial1D
from gwcs import WCS
from mrs_optics import DETECTORS, HEADER, SHAPE
from mrs_references import image, photom

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.wcs.imaging import detector_frame
from stpipe.science.wcs.lrs import world_frame
from stpipe.steps.stage2.fringe import FringeStep
from stpipe.steps.stage2.photom.step import PhotomStep

WAVES = {"MIRIFUSHORT": (5.0, 0.004), "MIRIFULONG": (20.5, -0.0085)}  # of column 0, by column, um
POWERS = {"data": 1, "err": 1, "var_poisson": 2, "var_rnoise": 2, "var_flat": 2}


def exposure(detector: str) -> Any:
    """Rates whose wavelength is that of the column."""
    model: Any = models.IFUImageModel()
    rng = np.random.default_rng(2)
    for name in POWERS:
        model.set(name, rng.uniform(1, 2, SHAPE).astype(np.float32))
    model.dq = np.zeros(SHAPE, np.uint32)
    instrument = {"detector": detector, "channel": DETECTORS[detector], "band": "SHORT"}
    named = {f"instrument.{name}": value for name, value in instrument.items()}
    for name, value in {**HEADER, **named, "exposure.mid_time": 61_000.0}.items():
        model.set(f"meta.{name}", value)
    column = Mapping((0,), n_inputs=2)
    place = column | Const1D(0)
    wave = column | Polynomial1D(1, c0=WAVES[detector][0], c1=WAVES[detector][1])
    model.meta.wcs = WCS(
        [
            (detector_frame(), Mapping((0, 1, 0, 1, 0, 1)) | place & place & wave),
            (world_frame(), None),
        ]
    )
    return model


def test_fringes_are_divided_by(tmp_path: Path) -> None:
    """Unknown ones change nothing, flags of the reference neither; variances by the square."""
    path = image(tmp_path / "f.fits", "fringe")
    source = exposure("MIRIFULONG")
    found = FringeStep(override_fringe=path).run(source)
    with models.open(path) as reference:
        fringes = np.nan_to_num(np.asarray(reference.data), nan=1.0)
        assert np.isnan(reference.data).any()
    for name, power in POWERS.items():
        expected = getattr(source, name) / fringes**power
        np.testing.assert_allclose(expected, getattr(found, name), rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(source.dq, found.dq)
    source.meta.exposure.type = "NRS_IFU"
    assert FringeStep().run(source).meta.cal_step.fringe == "SKIPPED"


@pytest.mark.parametrize(
    ("detector", "channels"), [("MIRIFUSHORT", (1, 2)), ("MIRIFULONG", (4, 3))]
)
def test_conversion_and_losses(tmp_path: Path, detector: str, channels: tuple[int, int]) -> None:
    """Each pixel has its own conversion, each half the losses of its channel, none above 1."""
    path = photom(tmp_path / "p.fits")
    source = exposure(detector)
    step = PhotomStep(override_photom=path, override_area="N/A")
    found = step.run(source)

    waves = WAVES[detector][0] + WAVES[detector][1] * np.arange(SHAPE[1])
    loss = np.ones(SHAPE[1])
    with models.open(path) as reference:
        conversion, dq = np.asarray(reference.data), np.asarray(reference.dq)
        for channel, half in zip(channels, (slice(0, 516), slice(516, 1024)), strict=True):
            table = getattr(reference, f"timecoeff_powerlaw_ch{channel}")
            days = (61_000.0 - table["t0"] + table["tsoft"]) / (365 + table["tsoft"])
            left = np.minimum(table["year1value"] * days ** table["alpha"].astype(float), 1)
            x, y = waves[half], table["binwave"].astype(float)
            loss[half] = np.interp(x, y, left)
            for end, inner, beyond in ((0, 1, x < y[0]), (-1, -2, x > y[-1])):
                slope = (left[end] - left[inner]) / (y[end] - y[inner])
                loss[half][beyond] = left[end] + slope * (x - y[end])[beyond]
    unknown = np.isnan(conversion)
    for name, power in POWERS.items():
        expected = getattr(source, name) * (conversion / loss) ** power
        np.testing.assert_allclose(expected, getattr(found, name), rtol=1e-5, err_msg=name)
    np.testing.assert_array_equal(dq | np.where(unknown, dqflags.DO_NOT_USE, 0), found.dq)
    assert ("MJy/sr", 0.8, 8e-13) == (
        found.meta.bunit_data,
        found.meta.photometry.conversion_megajanskys,
        found.meta.photometry.pixelarea_steradians,
    )
    back = PhotomStep(override_photom=path, override_area="N/A", inverse=True).run(found)
    np.testing.assert_allclose(source.data[~unknown], back.data[~unknown], rtol=1e-5)


def test_without_losses(tmp_path: Path) -> None:
    """Older references have no tables; without a time there is a way out."""
    plain = photom(tmp_path / "plain.fits", with_losses=False)
    dated = photom(tmp_path / "dated.fits")
    source = exposure("MIRIFUSHORT")
    source.meta.exposure.mid_time = None
    found = PhotomStep(override_photom=plain, override_area="N/A").run(source)
    other = PhotomStep(override_photom=dated, override_area="N/A", apply_time_correction=False).run(
        source
    )
    np.testing.assert_array_equal(found.data, other.data)
    with pytest.raises(InputError, match="lacks EXPMID"):
        PhotomStep(override_photom=dated, override_area="N/A").run(source)
