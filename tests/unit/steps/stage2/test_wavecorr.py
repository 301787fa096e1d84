"""Wavelengths of sources beside the middle of their slit: the truth, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nirspec_slits
import numpy as np
import pytest
from nirspec_slits import COLUMNS, ROWS, STEP, wave

from stpipe import models
from stpipe.errors import InputError
from stpipe.steps.stage2.wavecorr import WavecorrStep


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return nirspec_slits.wavecorr(tmp_path_factory.mktemp("wavecorr") / "wavecorr.asdf")


def test_light_beside_the_middle_has_the_wavelength_of_where_it_falls(reference: str) -> None:
    """By as many pixels as the reference says, also beyond its ends; there and back."""
    found = WavecorrStep(override_wavecorr=reference).run(nirspec_slits.fixed_slits())

    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    lit = (y > 1.5) & (y < 9.5)
    expected = wave(x, y) + 0.3 * (1 + wave(x, y)) * STEP
    target, *others = found.slits
    np.testing.assert_array_equal(~lit, np.isnan(target.wavelength))
    np.testing.assert_allclose(expected[lit], target.wavelength[lit], rtol=1e-6)
    np.testing.assert_allclose(target.meta.wcs(x, y)[2], target.wavelength, rtol=1e-7)
    back = target.meta.wcs.get_transform("world", "slit_frame")(*target.meta.wcs(x, y))
    np.testing.assert_allclose(wave(x, y)[lit] * 1e-6, back[2][lit], rtol=1e-12)
    assert [True, False, False] == [slit.wavelength_corrected for slit in found.slits]
    for slit in others:
        np.testing.assert_allclose(wave(x, y)[lit], slit.wavelength[lit], rtol=1e-6)


def test_shutters_have_one_aperture(reference: str) -> None:
    """MOS; a fixed slit among them has its own. All integrations of a bright object share one."""
    step = WavecorrStep(override_wavecorr=reference, override_fixed_slit_wavecorr=reference)
    exposure = nirspec_slits.shutters_and_fixed_slit()
    exposure.slits[2].quadrant, exposure.slits[2].name = 5, "S200A2"  # which the reference lacks
    found = step.run(exposure)
    assert [True, False, False, True] == [slit.wavelength_corrected for slit in found.slits]
    step = WavecorrStep(override_wavecorr=reference, override_fixed_slit_wavecorr="N/A")
    found = step.run(exposure)
    assert [True, False, False, False] == [slit.wavelength_corrected for slit in found.slits]
    slit = step.run(nirspec_slits.bright_object())
    assert slit.wavelength_corrected
    assert (ROWS, COLUMNS) == slit.wavelength.shape


def test_files_are_read_again(reference: str, tmp_path: Path) -> None:
    """The coordinates of a product that was saved are the same, and so is the keyword."""
    found = WavecorrStep(override_wavecorr=reference).run(nirspec_slits.fixed_slits())
    with models.open(found.save(tmp_path / "x_wavecorr.fits")) as read:
        wcs = read.slits[0].meta.wcs
        assert "wavecorr_frame" in wcs.available_frames
        assert "wavecorr_frame" not in read.slits[1].meta.wcs.available_frames
        np.testing.assert_array_equal(wcs(30.0, 4.0), found.slits[0].meta.wcs(30.0, 4.0))
        assert read.slits[0].wavelength_corrected
        assert "COMPLETE" == read.meta.cal_step.wavecorr


def skipped(exposure: Any, **parameters: str) -> str:
    left = WavecorrStep(**parameters).run(exposure)
    assert "SKIPPED" == left.meta.cal_step.wavecorr
    return str(left.provenance[-1]["reason"])


def test_what_is_not_corrected_says_why(reference: str, tmp_path: Path) -> None:
    """Other modes, without looking for references; no point source; no reference; no way back."""
    exposure = nirspec_slits.fixed_slits()
    steep = nirspec_slits.wavecorr(tmp_path / "steep.asdf", lambda wave, place: -999 * wave * place)
    given = {"override_wavecorr": reference}

    assert "no wavecorr reference applies" in skipped(exposure, override_wavecorr="N/A")
    assert "none of 1 point sources" in skipped(exposure, override_wavecorr=steep)
    exposure.slits[0].source_type = "EXTENDED"
    assert "no slit has a point source" in skipped(exposure, **given)
    exposure.meta.exposure.type = "NRS_IFU"
    assert "type NRS_IFU have no wavelengths to correct" in skipped(exposure)
    lost = nirspec_slits.bright_object()
    lost.meta.wcs = None
    with pytest.raises(InputError, match="no gwcs of its slits"):
        WavecorrStep(**given).run(lost)


def test_coordinates_of_one_slit_may_be_alive_before_those_of_all(
    reference: str, tmp_path: Path
) -> None:
    """As where a step uses those of a fixed slit, and the next those of every slit."""
    found = WavecorrStep(override_wavecorr=reference).run(nirspec_slits.fixed_slits())
    with models.open(found.save(tmp_path / "x_wavecorr.fits")) as read:
        alive = read.slits[1].meta.wcs
        read.slits.revive("meta.wcs")
        assert alive is read.slits[1].meta.wcs
        np.testing.assert_array_equal(
            read.slits[0].meta.wcs(30.0, 4.0), found.slits[0].meta.wcs(30.0, 4.0)
        )
