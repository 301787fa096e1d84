"""Coordinates of MIRI's medium-resolution spectrometer beside those of the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrs_optics import exposure, optics

from stpipe import models
from stpipe.science.wcs.lrs import velocity_factor
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep

Peer = Callable[..., Path]
TENTH = 1e-4 / 3600  # degrees, a tenth of a milliarcsecond


@pytest.mark.parametrize(
    ("detector", "band", "velosys"),
    [
        ("MIRIFULONG", "LONG", 23_000.0),
        ("MIRIFUSHORT", "MEDIUM", -8_000.0),
        ("MIRIFULONG", "SHORT-MEDIUM", None),
    ],
)
def test_coordinates(
    peer_step: Peer, tmp_path: Path, detector: str, band: str, velosys: float | None
) -> None:
    """Both detectors, all bands and two of them: every frame, and the way back."""
    source = exposure(detector, band, velosys).save(tmp_path / "x_rate.fits")
    references = optics(detector, band, tmp_path)
    parameters = {f"override_{name}": path for name, path in references.items()}
    theirs = peer_step("jwst.assign_wcs:AssignWcsStep", source, **parameters)
    ours = AssignWcsStep(**parameters).run(source).save(tmp_path / "x_assign_wcs.fits")

    with models.open(ours) as found, models.open(theirs) as expected:
        y, x = (axis.ravel() for axis in np.mgrid[3:1024:17.0, 1:1032:7.0])
        coordinates = np.load(peer_step("frames", theirs, inputs=[x.tolist(), y.tolist()]))
        again = np.load(peer_step("frames", ours, inputs=[x.tolist(), y.tolist()]))
        same_coordinates(coordinates, found, x, y)
        for frame in found.meta.wcs.available_frames[1:]:
            there = found.meta.wcs.get_transform("detector", frame)(x, y)
            np.testing.assert_allclose(again[frame], there, rtol=0, atol=1e-12)
        same_header(expected, found)
    peer_step("read", ours)


def same_coordinates(expected: Any, found: Any, x: Any, y: Any) -> None:
    """The same places and wavelengths, NaN between slices."""
    wcs = found.meta.wcs
    assert list(expected["frames"]) == wcs.available_frames
    for frame in wcs.available_frames[1:]:
        place = TENTH if frame == "world" else 1e-8
        there = wcs.get_transform("detector", frame)(x, y)
        for left, right, atol in zip(expected[frame], there, (place, place, 1e-8), strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=atol, err_msg=frame)
    sky = expected["world"]
    known = np.isfinite(sky[2])
    assert 0.5 < known.mean() < 0.9
    back = wcs.get_transform("world", "detector")
    # The peer takes wavelengths seen from the barycentre for those on the detector.
    observed = sky * np.array([[1], [1], [velocity_factor(found.to_flat_dict())]])
    ours, again = (np.array(back(*place)) for place in (observed, sky))
    both = np.isfinite(expected["back"]) & np.isfinite(ours)  # the ends of a channel move
    assert both[:, known].mean() > 0.99
    np.testing.assert_allclose(expected["back"][both], ours[both], rtol=0, atol=1e-7)
    off = np.abs(again - [x, y])[:, known]
    assert np.percentile(off, 98) < 0.05
    assert off.max() < 0.5  # as good as the polynomials of both directions are


def same_header(expected: Any, found: Any) -> None:
    """What the header says of coordinates."""
    for name in ("specsys", "dispersion_direction"):
        assert expected.get(f"meta.wcsinfo.{name}") == found.get(f"meta.wcsinfo.{name}"), name
    regions = (m.meta.wcsinfo.s_region.split() for m in (expected, found))
    one, other = (np.array(region[2:], float) for region in regions)
    np.testing.assert_allclose(one, other, rtol=0, atol=TENTH)
