"""From calibrated slits of several exposures to a spectrum for each source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest
import stars_in_slits

from stpipe import models
from stpipe.errors import InputError
from stpipe.pipelines.spec3 import Spec3Pipeline


@pytest.fixture
def extraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The aperture of the whole slit, without other references."""
    monkeypatch.delenv("CRDS_PATH", raising=False)
    entry = {"use_source_posn": False}
    aperture = stars_in_slits.extract1d(tmp_path / "extract1d.json", **entry)
    return {"override_extract1d": str(aperture), "apply_apcorr": False}


def test_the_spectrum_is_that_of_the_star(tmp_path: Path, extraction: dict[str, Any]) -> None:
    """Without the cosmic rays, and with less noise than in one exposure."""
    asn = dithered_slits.write(tmp_path)
    found = Spec3Pipeline(steps={"extract_1d": extraction}).run(asn)

    labels = ("s000000001-s200a1", "s000000012-s200a2")
    for name in ("sources", "cleaned", "rectified", "spectra"):
        assert labels == getattr(found, name).labels
    assert not len(found.combined)
    rectified = found.rectified[0]
    for y, x in dithered_slits.HITS:
        near = rectified.data[max(y - 4, 0) : y + 5, x - 3 : x + 4]
        assert np.nanmax(near) < dithered_slits.HIT / 4
    assert 3 == rectified.meta.resample.pointings
    assert pytest.approx(600) == rectified.meta.exposure.exposure_time
    assert "COMPLETE" == rectified.meta.cal_step.outlier_detection
    one = dithered_slits.write(tmp_path, dithered_slits.exposures()[:1])
    alone = Spec3Pipeline(steps={"extract_1d": extraction}).run(one)
    middle = slice(10, 50)
    ratio = (
        found.spectra[0].spec[0].spec_table["FLUX_ERROR"][middle]
        / alone.spectra[0].spec[0].spec_table["FLUX_ERROR"][middle]
    )
    assert 0.5 < np.median(ratio) < 0.68  # the square root of a third


def test_without_rectification_spectra_are_combined(
    tmp_path: Path, extraction: dict[str, Any]
) -> None:
    """One spectrum of those of all exposures."""
    steps = {"extract_1d": extraction, "resample_spec": {"skip": True}}
    found = Spec3Pipeline(steps=steps).run(dithered_slits.write(tmp_path))

    assert not len(found.rectified)
    assert 3 == len(found.spectra[0].spec)
    assert (found.combined[0].spec[0].spec_table["N_INPUT"] == 3).mean() > 0.8


def test_a_source_that_fails_is_named_and_the_others_are_made(
    tmp_path: Path, extraction: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = dithered_slits.exposures()
    for exposure in made:
        exposure.slits[0].meta.wcs = None
    found = Spec3Pipeline(steps={"extract_1d": extraction}).run(
        dithered_slits.write(tmp_path, made)
    )

    assert ("s000000012-s200a2",) == found.spectra.labels
    assert "s000000001-s200a1" in caplog.text
    assert "1 of 2 sources failed" in caplog.text
    for exposure in made:
        del exposure.slits[1]
    with pytest.raises(InputError, match="nothing could be made of any source"):
        Spec3Pipeline(steps={"extract_1d": extraction}).run(dithered_slits.write(tmp_path, made))


def test_products_are_named_as_the_association_says(
    tmp_path: Path, extraction: dict[str, Any]
) -> None:
    """Where it says nothing the source comes last."""
    asn = dithered_slits.write(tmp_path, name="jw01_nirspec")
    pipeline = Spec3Pipeline(steps={"extract_1d": extraction}, output_dir=str(tmp_path / "out"))
    paths = pipeline.save(pipeline.run(asn))
    assert "jw01_nirspec_s000000001-s200a1_cal.fits" == paths[0].name
    assert {"cal", "crf", "s2d", "x1d"} == {path.stem.rpartition("_")[2] for path in paths}


def test_other_exposures_are_refused(tmp_path: Path) -> None:
    (image, *_) = dithered_slits.images("NIS_SOSS", "NIS", "NIRISS", 1)
    asn = dithered_slits.association(tmp_path, [image.save(tmp_path / "x_cal.fits")], "x")
    with pytest.raises(InputError, match="NIS_SOSS are not supported, allowed: MIR_LRS"):
        Spec3Pipeline().run(asn)


def test_arrays_that_are_set_aside_are_the_same() -> None:
    """In a file without a name, and lists of parts as well."""
    exposure = stars_in_slits.slits(noise=1.0)
    before = [slit.data.copy() for slit in exposure.slits]
    scratch = exposure.set_aside()
    assert scratch is exposure.set_aside(scratch)
    for slit, data in zip(exposure.slits, before, strict=True):
        np.testing.assert_array_equal(data, slit.data)
    image = models.ImageModel(np.arange(6, dtype=np.float32).reshape(2, 3))
    image.set_aside(scratch)
    np.testing.assert_array_equal(np.arange(6).reshape(2, 3), image.data)
