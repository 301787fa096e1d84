"""Light of NIRSpec's shutters on the detector, beside the peer: flagged, subtracted, masked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nirspec_optics
import numpy as np
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.wcs.nirspec import science_regions
from stpipe.science.wcs.nirspec.failed_open import REFERENCES
from stpipe.steps.stage1.clean_flicker_noise.step import CleanFlickerNoiseStep
from stpipe.steps.stage2.msa_flagging import MSAFlagOpenStep

Peer = Callable[..., Path]


def located(peer_step: Peer, folder: Path, kind: str) -> tuple[Path, dict[str, str]]:
    """A product of the peer's assign_wcs, with open shutters, and the references that it took."""
    exposure = nirspec_optics.exposure(kind)
    if kind == "NRS_MSASPEC":
        metafile = nirspec_optics.metafile(folder / "x_msa.fits")
        exposure.meta.instrument.msa_metadata_file = metafile.name
        exposure.meta.instrument.msa_metadata_id = 5
    files = {**nirspec_optics.optics(), "msa": nirspec_optics.msa(folder / "msa.asdf")}
    files["chromcorr"] = nirspec_optics.chromcorr(folder / "chromcorr.asdf")
    others = ("distortion", "filteroffset", "specwcs", "regions")
    parameters = {f"override_{name}": file for name, file in files.items()}
    parameters |= {f"override_{name}": "N/A" for name in others}
    source = exposure.save(folder / "x_rate.fits")
    return peer_step("jwst.assign_wcs:AssignWcsStep", source, **parameters), files


@pytest.mark.parametrize("kind", ["NRS_MSASPEC", "NRS_IFU"])
def test_shutters_that_failed_open(peer_step: Peer, tmp_path: Path, kind: str) -> None:
    """The same pixels are flagged, nothing else changes; and the same are no background."""
    source, files = located(peer_step, tmp_path, kind)
    msaoper = files["msaoper"] = nirspec_optics.msaoper(tmp_path / "msaoper.json")
    theirs = peer_step("jwst.msaflagopen:MSAFlagOpenStep", source, override_msaoper=msaoper)
    given = {f"override_{name}": files[name] for name in REFERENCES}
    ours = MSAFlagOpenStep(override_msaoper=msaoper, **given).run(source)

    path = Path(ours.save(tmp_path / "x_msa_flagging.fits"))
    with models.open(theirs) as expected, models.open(path) as found:
        assert "COMPLETE" == expected.meta.cal_step.msa_flagging == found.meta.cal_step.msa_flagging
        np.testing.assert_array_equal(expected.dq, found.dq)
        assert has(found.dq, dqflags.MSA_FAILED_OPEN).sum() > 5000
        np.testing.assert_array_equal(expected.data, found.data)
    peer_step("read", path)
    same_mask(peer_step, tmp_path, theirs, files)


@pytest.mark.parametrize("kind", ["NRS_FIXEDSLIT"])
def test_slits_are_no_background(peer_step: Peer, tmp_path: Path, kind: str) -> None:
    """Boxes around them; shutters that failed open do not count."""
    source, files = located(peer_step, tmp_path, kind)
    same_mask(peer_step, tmp_path, source, files)


def same_mask(peer_step: Peer, folder: Path, located: Path, files: dict[str, str]) -> None:
    """The mask of the peer, of rates that it has located, is that of ours from rates alone."""
    theirs = peer_step("mask", located, n_sigma=2.0)
    given = {f"override_{n}": files[n] for n in science_regions.REFERENCES if n in files}
    step = CleanFlickerNoiseStep(mask_science_regions=True, save_mask=True, **given)
    result = step.run(folder / "x_rate.fits")
    assert "COMPLETE" == result.meta.cal_step.clean_flicker_noise
    with models.open(theirs) as expected:
        found = step.side_products["mask"].data
        assert 0.1 < found.mean() < 0.95
        np.testing.assert_array_equal(expected.data, found)
