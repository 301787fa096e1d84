"""Spectra by the profile of their source, of NIRSpec's slits, beside the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stars_in_slits

from stpipe import models
from stpipe.steps.stage2.extract_1d.step import Extract1dStep

Peer = Callable[..., Path]
# The peer misplaces profiles by half a pixel, which its fit of the place makes up for. That stops
# within 1e-4 pixels of the best place, depending on where it starts.
FIXED = {"optimize_psf_location": False}
ASIDE = {"position_offset": -0.5}
EXPOSURES: dict[str, tuple[Any, dict[str, Any], dict[str, Any], float]] = {
    "slits": (stars_in_slits.slits, {}, ASIDE, 1e-5),
    "sky": (stars_in_slits.slits, {"subtract_background": True, "bkg_order": 1}, ASIDE, 1e-5),
    "nod": (stars_in_slits.nodded, {}, {}, 2e-4),
    "fixed": (stars_in_slits.slits, FIXED, ASIDE, 1e-5),
    "by source": (stars_in_slits.slits, {"extraction_type": None}, {}, 2e-4),
    "integrations": (lambda noise: stars_in_slits.bright_object(3, noise=noise), {}, ASIDE, 1e-5),
}


@pytest.mark.parametrize("choice", EXPOSURES)
def test_optimal_extraction(peer_step: Peer, tmp_path: Path, choice: str) -> None:
    """The same fluxes, errors, background and number of pixels."""
    make, given, of_peer, rtol = EXPOSURES[choice]
    source = make(noise=0.8).save(tmp_path / "x_s2d.fits")
    sides = {"bkg_coeff": [[1.5], [5.5]]} if choice == "sky" else {}
    parameters = {
        "extraction_type": "optimal",
        "override_psf": stars_in_slits.psf(tmp_path / "psf.fits"),
        "override_extract1d": stars_in_slits.extract1d(tmp_path / "extract1d.json", **sides),
        "override_apcorr": "N/A",
        **given,
    }
    theirs = peer_step("jwst.extract_1d:Extract1dStep", source, **{**parameters, **of_peer})
    ours = Extract1dStep(**parameters).run(source)
    kept = ours.save(tmp_path / "x_x1d.fits")

    with models.open(theirs) as expected:
        assert type(expected) is type(ours)
        for one, other in zip(expected.spec, ours.spec, strict=True):
            same_columns(one.spec_table, other.spec_table, rtol)
            assert one.units("spec_table") == other.units("spec_table")
    peer_step("read", kept)


def same_columns(expected: Any, found: Any, rtol: float) -> None:
    """Of the background's variances those that the peer knows: it misses them beside bad pixels."""
    assert expected.dtype.names == found.dtype.names
    for column in expected.dtype.names:
        one, other = expected[column], found[column]
        if one.dtype.kind == "f":
            known = np.isfinite(one) | (not column.startswith("BKGD"))
            one, other = one[known], other[known]
        np.testing.assert_allclose(one, other, rtol=rtol, err_msg=column)
