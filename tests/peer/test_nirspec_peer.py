"""Steps of NIRSpec's slits beside those of the peer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nirspec_slits
import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage2.wavecorr import WavecorrStep

Peer = Callable[..., Path]
EXPOSURES = {
    "fixed_slits": nirspec_slits.fixed_slits,
    "shutters": nirspec_slits.shutters,
    "bright_object": nirspec_slits.bright_object,
}


@pytest.fixture(params=sorted(EXPOSURES))
def exposure(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(EXPOSURES[request.param]().save(tmp_path / "x_srctype.fits"))


def slits(theirs: Path, ours: Path) -> Iterator[tuple[Any, Any]]:
    """Each slit of both products, which have the same arrays and flags."""
    with models.open(theirs) as expected, models.open(ours) as found:
        assert type(expected) is type(found)
        several = hasattr(expected, "slits")
        pairs = zip(expected.slits, found.slits, strict=True) if several else [(expected, found)]
        for one, other in pairs:
            assert one.name == other.name
            assert set(one.shapes) == set(other.shapes)
            np.testing.assert_array_equal(one.dq, other.dq)
            for name in set(one.shapes) - {"dq"}:
                np.testing.assert_allclose(
                    getattr(one, name),
                    getattr(other, name),
                    rtol=1e-5,
                    err_msg=f"{one.name} {name}",
                )
            yield one, other


def test_wavecorr(peer_step: Peer, exposure: Path, tmp_path: Path) -> None:
    """Wavelengths of the same sources; the peer leaves the bright object's keyword unset."""
    parameters = {"override_wavecorr": nirspec_slits.wavecorr(tmp_path / "wavecorr.asdf")}
    theirs = peer_step("jwst.wavecorr:WavecorrStep", exposure, **parameters)
    ours = Path(WavecorrStep(**parameters).run(exposure).save(tmp_path / "x_wavecorr.fits"))

    for expected, found in slits(theirs, ours):
        assert expected.get("wavelength_corrected") in (None, found.wavelength_corrected)
    peer_step("read", ours)
