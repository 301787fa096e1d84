"""Light that MIRI's medium-resolution spectrometer scatters along rows, and that of showers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrs_optics import DETECTORS, HEADER, SHAPE
from mrs_references import xartcorr
from reference_headers import described

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.steps.stage2.straylight import StraylightStep

LEVEL = 0.7  # DN/s between the channels


def exposure(detector: str = "MIRIFUSHORT", band: str = "SHORT") -> Any:
    """Dark with noise above what is scattered, and some bright columns in both channels."""
    model: Any = models.IFUImageModel()
    model.data = np.random.default_rng(1).normal(LEVEL, 0.4, SHAPE).astype(np.float32)
    for column in (115, 116, 455, 715):
        model.data[:, column] += 50
    model.data[:, :4] = model.data[:, -4:] = 0
    model.dq = np.zeros(SHAPE, np.uint32)
    instrument = {"detector": detector, "channel": DETECTORS[detector], "band": band}
    named = {f"instrument.{name}": value for name, value in instrument.items()}
    for name, value in {**HEADER, **named}.items():
        model.set(f"meta.{name}", value)
    return model


def scattered(row: Any, entry: Any, columns: range) -> Any:
    """What the light in some columns of a row makes in all of it, pixel by pixel."""
    x = np.arange(row.size)
    found = np.zeros(row.size)
    half, sigma = entry["lor_fwhm"] / 2.0, entry["gau_fwhm"] / 2.354820045
    for column in columns:
        distance = x - column
        share = entry["lor_scale"] * half**2 / (half**2 + distance**2)
        for order in (1, 2):
            for side in (-1, 1):
                off = (distance - side * order * entry["gau_xoff"]) / (order * sigma)
                share = share + entry[f"gau_scale{order}"] * np.exp(-0.5 * off**2)
        found += row[column] * share
    return found


@pytest.mark.parametrize(
    ("detector", "band", "left", "right"),
    [("MIRIFUSHORT", "MEDIUM", "ch1b", "ch2b"), ("MIRIFULONG", "LONG", "ch4c", "ch3c")],
)
def test_what_rows_scatter_is_subtracted(
    tmp_path: Path, detector: str, band: str, left: str, right: str
) -> None:
    """Of both channels, by their own entries; bad pixels send nothing, reference pixels stay."""
    path = xartcorr(tmp_path / "x.fits")
    source = exposure(detector, band)
    pure = np.array(source.data, float)
    source.data[7, 300], source.data[7, 310] = np.nan, 1e5
    source.dq[7, 310] = dqflags.HOT
    with models.open(path) as reference:
        for row in (7, 400, 1023):
            light = np.where(pure[row] > 20, pure[row] - LEVEL, 0)
            for name, columns in ((left, range(516)), (right, range(516, 1024))):
                stray = scattered(light, getattr(reference, f"{name}_table")[row], columns)
                source.data[row, 4:-4] += stray[4:-4].astype(np.float32)
    found = StraylightStep(override_mrsxartcorr=path).run(source)

    for row in (7, 400, 1023):
        good = np.isfinite(found.data[row]) & (pure[row] != 0)
        good[310] = False
        np.testing.assert_allclose(found.data[row][good], (pure[row] - LEVEL)[good], atol=0.03)
    assert np.isnan(found.data[7]).nonzero()[0].tolist() == [300]
    assert not found.data[:, :4].any()
    assert not found.data[:, -4:].any()


def test_two_bands_have_no_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only the level goes, with a warning."""
    source = exposure(band="SHORT-LONG")
    before = np.array(source.data)
    found = StraylightStep(override_mrsxartcorr=xartcorr(tmp_path / "x.fits")).run(source)
    change = (before - found.data)[:, 4:-4]
    np.testing.assert_allclose(change, change[0, 0], rtol=1e-4)
    assert abs(change[0, 0] - LEVEL) < 0.02
    assert "no entry for the band SHORT-LONG" in caplog.text


def test_showers_between_slices_are_smoothed_and_subtracted(tmp_path: Path) -> None:
    """A hill of light is taken out everywhere, though it is seen between slices alone."""
    regions: Any = models.RegionsModel()
    slices = np.zeros((9, *SHAPE), np.int32)
    slices[3] = np.where(np.arange(SHAPE[1]) // 10 % 2, 101, 0)
    regions.regions = slices
    parameters = {
        "override_mrsxartcorr": xartcorr(tmp_path / "x.fits"),
        "override_regions": str(
            described(regions, "regions", "MIRI", "MIRIFUSHORT").save(tmp_path / "r.asdf")
        ),
    }
    y, x = np.indices(SHAPE)
    hill = 0.6 * np.exp(-0.5 * (((x - 250) / 90) ** 2 + ((y - 500) / 60) ** 2))
    source = exposure()
    source.data += hill.astype(np.float32)
    plain = StraylightStep(**parameters).run(source)
    rules = {"clean_showers": True, "shower_low_reject": 0, "shower_high_reject": 100}
    found = StraylightStep(**parameters, **rules).run(source)
    light = np.asarray(plain.data - found.data)
    np.testing.assert_allclose(light[100:-100, 150:400], hill[100:-100, 150:400], atol=0.1)


def test_what_does_not_fit(tmp_path: Path) -> None:
    """Other instruments are left as they are; other rows, and a header without a band, are refused."""
    other = exposure()
    other.meta.exposure.type = "NRS_IFU"
    assert StraylightStep().run(other).meta.cal_step.straylight == "SKIPPED"
    short = xartcorr(tmp_path / "x.fits", rows=512)
    with pytest.raises(InputError, match=r"has 1024 rows, ch1a_table of x\.fits 512"):
        StraylightStep(override_mrsxartcorr=short).run(exposure())
    other = exposure()
    other.meta.instrument.band = None
    with pytest.raises(InputError, match="lacks BAND"):
        StraylightStep(override_mrsxartcorr=short).run(other)
