"""Spectra of NIRSpec: from raw ramps to Jy and MJy/sr, unbiased, lines where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stpipe.demo.observation import NIRSPEC_BOTS, NIRSPEC_FS, NIRSPEC_MOS
from stpipe.demo.spectra_found import SpectrumFound, spectra_found
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.spec2 import Spec2Pipeline

EXPOSURES = {"fs": NIRSPEC_FS, "mos": NIRSPEC_MOS, "bots": NIRSPEC_BOTS}
TARGETS = {"fs": "S200A1 S200A2 S400A1 S1600A1 S200B1", "mos": "1 3 4", "bots": "S1600A1"}
# Weights that differ from pixel to pixel move light within the slope of a star's profile, and bad
# pixels beside a peak do.
WAYS: dict[str, dict[str, Any]] = {
    "fs": {"resample_spec": {"weight_type": "exptime"}},
    "mos": {"resample_spec": {"skip": True}},
    "bots": {},
}


def spectra(folder: Path, mode: str, out: Path) -> list[SpectrumFound]:
    """Calibrate the exposure of a mode, and hold its spectra against the truth."""
    root = EXPOSURES[mode][0].root
    for metafile in folder.glob("uncal/*_msa.fits"):
        (out / metafile.name).symlink_to(metafile)
    rate, rateints = Detector1Pipeline.call(folder / f"uncal/{root}_uncal.fits")
    rates = (rateints if mode == "bots" else rate).save(out / f"{root}_rate.fits")
    found = Spec2Pipeline(steps=WAYS[mode]).run(rates).spectra
    path = found.save(out / f"{root}_x1d.fits")
    return list(spectra_found(path, folder / f"truth/{root}_spectra.fits"))


@pytest.mark.parametrize("mode", EXPOSURES)
def test_spectra_are_unbiased(
    nirspec_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The mean within its error, errors to 10 %, lines to a 20th of a pixel; rectified and not."""
    folder = nirspec_folder(mode)
    monkeypatch.setenv("CRDS_PATH", str(folder / "crds"))

    found = spectra(folder, mode, tmp_path)

    assert TARGETS[mode].split() == [each.slit for each in found]
    for each in found:
        assert each.unbiased, f"{each.slit}: {each}"
        assert abs(each.pull_width - 1) < 0.1, f"{each.slit}: {each}"
