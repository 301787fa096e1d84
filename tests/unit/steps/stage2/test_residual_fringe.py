"""What fringes are left in spectra of MIRI's medium-resolution spectrometer is taken out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import fringes
import numpy as np
import pytest

from stpipe.errors import InputError, ParameterError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.steps.stage2.residual_fringe import ResidualFringeStep

SHORT, LONG = "MIRIFUSHORT", "MIRIFULONG"


def corrected(source: Any, folder: Path, detector: str = SHORT, **changes: Any) -> Any:
    """The product of an exposure with the references of its detector."""
    given = {
        "override_fringefreq": fringes.fringefreq(folder / "fringefreq.fits", detector),
        "override_regions": fringes.regions(folder / "regions.fits", detector),
        "skip": False,
        **changes,
    }
    return ResidualFringeStep(**given).run(source)


def lit(detector: str) -> Any:
    """Pixels of the columns that are long enough; the first of each slice is not."""
    slices = fringes.labels(detector)
    found = slices > 0
    return found & (found.sum(axis=0) > 50)


def left_over(source: Any, found: Any, detector: str, dichroic: float = 0.0) -> Any:
    """What is left of the fringes in whole columns; of short ones more, as there are few waves."""
    whole = (fringes.labels(detector) > 0).all(axis=0)
    seen = whole & (source.err < 1) & np.isfinite(source.data)
    before, after = (np.asarray(each.data, float)[seen] for each in (source, found))
    return before / after / fringes.with_fringes(detector, dichroic)[seen] - 1


@pytest.mark.parametrize("detector", [SHORT, LONG])
def test_a_sine_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture, detector: str) -> None:
    """To less than 5 % of it; what is no column of a slice stays, and errors and flags."""
    source = fringes.exposure(detector, noise=1e-4)
    before = np.array(source.data)
    with caplog.at_level(logging.INFO):
        found = corrected(source, tmp_path, detector)

    assert np.std(left_over(source, found, detector)) < 0.05 * fringes.AMPLITUDE / np.sqrt(2)
    np.testing.assert_array_equal(before[~lit(detector)], found.data[~lit(detector)])
    np.testing.assert_array_equal(source.err, found.err)
    np.testing.assert_array_equal(source.dq, found.dq)
    assert "6 fitted, 2 too short, 0 too faint, 0 without fringes, 0 failed" in caplog.text
    assert "COMPLETE" == found.meta.cal_step.residual_fringe


def test_fringes_of_the_dichroic(tmp_path: Path) -> None:
    """In channels 3 and 4: the background follows most of so fast a wave, a part is taken away."""
    source = fringes.exposure(LONG, noise=1e-4, dichroic=0.02)
    found = corrected(source, tmp_path, LONG)
    assert np.std(left_over(source, found, LONG, 0.02)) < 0.85 * 0.02 / np.sqrt(2)


def test_a_line_stays(tmp_path: Path) -> None:
    """Its flux, over that without fringes."""
    source = fringes.exposure(noise=1e-4)
    found = corrected(source, tmp_path)
    clean = np.array(source.data) / fringes.with_fringes(SHORT)
    rows = slice(fringes.LINE - 6, fringes.LINE + 7)
    columns = (fringes.labels(SHORT) > 0).all(axis=0)
    flux, truth = (np.asarray(image)[rows, columns].sum(axis=0) for image in (found.data, clean))
    np.testing.assert_allclose(truth, flux, rtol=0.005)


def test_without_fringes_nothing_is_changed_much(tmp_path: Path) -> None:
    """Columns of noise have no evidence, or a tiny sine."""
    source = fringes.exposure(noise=0.003)
    source.data = source.data / fringes.with_fringes(SHORT).astype(np.float32)
    before = np.array(source.data)
    found = corrected(source, tmp_path)
    with np.errstate(invalid="ignore"):
        change = np.abs(before / found.data - 1)[lit(SHORT)]
    assert np.nanpercentile(change, 90) < 0.002


def test_faint_columns_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those below the signal to noise that the reference asks for."""
    source = fringes.exposure()
    before = np.array(source.data)
    reference = fringes.fringefreq(tmp_path / "f.fits", least_snr=1e6)
    with caplog.at_level(logging.INFO):
        found = corrected(source, tmp_path, override_fringefreq=reference)
    np.testing.assert_array_equal(before, found.data)
    assert "0 fitted, 2 too short, 6 too faint" in caplog.text


def test_regions_that_do_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If all wavelengths of a channel are ignored nothing of it can be fitted, which is reported."""
    source = fringes.exposure()
    before = np.array(source.data)
    with caplog.at_level(logging.INFO):
        found = corrected(source, tmp_path, ignore_region_min=[4.0], ignore_region_max=[6.0])
    half = before.shape[1] // 2
    np.testing.assert_array_equal(before[:, :half], found.data[:, :half])
    assert (before[:, half:] != found.data[:, half:]).any()
    assert "3 fitted, 2 too short, 0 too faint, 3 without fringes" in caplog.text
    with pytest.raises(ParameterError, match="ignore_region_min has 1 values, ignore_region_max 0"):
        corrected(source, tmp_path, ignore_region_min=[4.0])


def test_columns_that_cannot_be_fitted_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A wavelength that turns back has no spline; others are corrected."""
    source = fringes.exposure()
    source.wavelength = fringes.wavelengths(SHORT).astype(np.float32)
    source.wavelength[500:520, 3] = source.wavelength[520:500:-1, 3]
    before = np.array(source.data)
    with caplog.at_level(logging.WARNING):
        found = corrected(source, tmp_path)
    np.testing.assert_array_equal(before[:, 3], found.data[:, 3])
    assert "5 fitted, 2 too short, 0 too faint, 0 without fringes, 1 failed" in caplog.text


def test_pixels_that_are_not_to_be_used_do_not_count(tmp_path: Path) -> None:
    """Whatever their value is, the others are the same."""
    source = fringes.exposure()
    source.dq[300, 3] = dqflags.DO_NOT_USE
    one = np.array(corrected(source, tmp_path).data)
    source = fringes.exposure()
    source.dq[300, 3] = dqflags.DO_NOT_USE
    source.data[300, 3] *= 1.01
    other = np.array(corrected(source, tmp_path).data)
    same = np.arange(len(one)) != 300
    np.testing.assert_allclose(one[same, 3], other[same, 3], rtol=1e-4)
    assert np.array(source.data)[300, 3] == other[300, 3]


def test_what_is_lacking_is_told(tmp_path: Path) -> None:
    """Slices without a row, the fringes of extended sources, an unknown band; other exposures."""
    source = fringes.exposure()
    other = fringes.fringefreq(tmp_path / "other.fits", LONG)
    with pytest.raises(ReferenceMissing, match=r"no row for 2 of 2 slices \(101, 203\)"):
        corrected(source, tmp_path, override_fringefreq=other)
    source.meta.instrument.band = "SHORT-LONG"
    with pytest.raises(InputError, match="is SHORT-LONG, allowed: SHORT, MEDIUM, LONG"):
        corrected(source, tmp_path)
    source.meta.cal_step.fringe = "SKIPPED"
    with pytest.raises(InputError, match="S_FRINGE is SKIPPED, allowed: COMPLETE"):
        corrected(source, tmp_path)
    source.meta.exposure.type = "NRS_IFU"
    assert "SKIPPED" == corrected(source, tmp_path).meta.cal_step.residual_fringe
