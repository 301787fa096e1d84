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
from stpipe.science.wcs.nirspec.failed_open import REFERENCES
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
    """The same pixels; nothing else changes."""
    source, files = located(peer_step, tmp_path, kind)
    msaoper = nirspec_optics.msaoper(tmp_path / "msaoper.json")
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
