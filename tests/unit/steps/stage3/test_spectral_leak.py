"""Light of 6 um in spectra of 12 um."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrs_spectra
import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage3.spectral_leak import SpectralLeakStep


def files(folder: Path, *spectra: Any) -> list[Path]:
    """Spectra as files."""
    return [model.save(folder / model.meta.filename) for model in spectra]


def corrected(folder: Path, *spectra: Any) -> list[Any]:
    """Spectra after the step, in their order."""
    reference = mrs_spectra.mrsptcorr(folder / "mrsptcorr.fits")
    step = SpectralLeakStep(override_mrsptcorr=reference)
    return [model.copy() for model in step.run(files(folder, *spectra))]


@pytest.mark.parametrize("several", [False, True])
def test_what_leaks_is_subtracted(tmp_path: Path, *, several: bool) -> None:
    """Of single bands, or of those that cover the wavelengths; other spectra and errors stay."""
    names = [("1", "MULTIPLE"), ("3", "MULTIPLE")] if several else [("1", "MEDIUM"), ("3", "SHORT")]
    source, goal = (
        mrs_spectra.spectrum(*name, flux) for name, flux in zip(names, (5, 2), strict=True)
    )
    goal.spec[0].spec_table["FLUX"][3] = np.nan
    other = mrs_spectra.spectrum("2", "LONG", 1)
    found = corrected(tmp_path, other, source, goal)

    with models.open(tmp_path / "mrsptcorr.fits") as reference:
        table = np.asarray(reference.leakcor_table)
    before, light = (np.asarray(model.spec[0].spec_table) for model in (goal, source))
    after = found[2].spec[0].spec_table
    waves = before["WAVELENGTH"]
    part = np.interp(waves, table["wavelength"], table["frac_leak"])
    for column in ("FLUX", "RF_FLUX"):
        # The source is a line, whose ends go on.
        seen = np.interp(waves / 2, light["WAVELENGTH"], light[column])
        np.testing.assert_allclose(before[column] - part * seen, after[column], rtol=1e-12)
    assert np.nanmax(before["FLUX"] - after["FLUX"]) > 0.1
    np.testing.assert_array_equal(before["FLUX_ERROR"], after["FLUX_ERROR"])
    for model, same in ((other, found[0]), (source, found[1])):
        one, two = (each.spec[0].spec_table["FLUX"] for each in (model, same))
        np.testing.assert_array_equal(one, two)
    assert "COMPLETE" == found[2].meta.cal_step.spectral_leak
    assert "Jy" == found[2].spec[0].units("spec_table")["FLUX"]


def test_gaps_in_the_source_do_not_spread(tmp_path: Path) -> None:
    """Flux that is not finite does not count; without any nothing is known."""
    source, goal = mrs_spectra.spectrum("1", "MEDIUM", 5), mrs_spectra.spectrum("3", "SHORT", 2)
    source.spec[0].spec_table["FLUX"][20] = np.nan
    source.spec[0].spec_table["RF_FLUX"][...] = np.nan
    table = corrected(tmp_path, source, goal)[1].spec[0].spec_table
    assert np.isfinite(table["FLUX"]).all()
    assert np.isnan(table["RF_FLUX"]).all()


def test_it_is_skipped_with_a_reason(tmp_path: Path) -> None:
    """Without both spectra, of extended sources, of other instruments, without a reference."""
    source, goal = mrs_spectra.spectrum("1", "MEDIUM", 5), mrs_spectra.spectrum("3", "SHORT", 2)

    def reason(*spectra: Any, **parameters: Any) -> str:
        given = {"override_mrsptcorr": mrs_spectra.mrsptcorr(tmp_path / "m.fits"), **parameters}
        last = list(SpectralLeakStep(**given).run(files(tmp_path, *spectra)))[-1]
        assert "SKIPPED" == last.meta.cal_step.spectral_leak
        return str(last.provenance[-1]["reason"])

    assert "no pair of spectra of channel 1 MEDIUM and channel 3 SHORT" in reason(goal)
    assert "no pair" in reason(source, mrs_spectra.spectrum("2", "LONG", 1))
    assert "no mrsptcorr reference applies" in reason(source, goal, override_mrsptcorr="N/A")
    goal.spec[0].source_type = "EXTENDED"
    assert "the source is extended" == reason(source, goal)
    assert "for MIR_MRS, not for NRS_IFU" in reason(
        mrs_spectra.spectrum("1", "MEDIUM", 5, "NRS_IFU")
    )
