"""Coordinates of MIRI's medium-resolution spectrometer, by its real optics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrs_optics import SHAPE, exposure, optics

from stpipe import models
from stpipe.errors import InputError, ReferenceMissing
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep

SLICES = {"MIRIFUSHORT": (21, 17), "MIRIFULONG": (16, 12)}


def overrides(detector: str, band: str, folder: Path) -> dict[str, str]:
    """The references as parameters."""
    return {f"override_{name}": path for name, path in optics(detector, band, folder).items()}


@pytest.mark.parametrize(
    ("detector", "band", "velosys"),
    [("MIRIFUSHORT", "SHORT-LONG", 20_000.0), ("MIRIFULONG", "MEDIUM", None)],
)
def test_every_slice_leads_to_the_sky_and_back(
    tmp_path: Path, detector: str, band: str, velosys: float | None
) -> None:
    """All slices of both channels; wavelengths are those at the barycentre on both ways."""
    parameters = overrides(detector, band, tmp_path)
    image = AssignWcsStep(**parameters).run(exposure(detector, band, velosys))
    wcs, slices = image.meta.wcs, np.asarray(image.regions)

    channels = [int(number) for number in image.meta.instrument.channel]
    seen = [
        100 * c + k
        for c, n in zip(channels, SLICES[detector], strict=True)
        for k in range(1, n + 1)
    ]
    assert seen == np.unique(slices[slices > 0]).tolist()
    y, x = (axis[::997].astype(float) for axis in np.nonzero(slices))
    sky = wcs(x, y)
    back = wcs.get_transform("world", "detector")
    off = np.abs(np.array(back(*sky)) - [x, y])
    assert np.percentile(off, 98) < 0.05
    assert off.max() < 0.5  # as good as the polynomials of both directions are
    between = np.array(wcs([513.0, x[0]], [500.0, y[0]]))
    assert np.isnan(between).tolist() == 3 * [[True, False]]

    resting = AssignWcsStep(**parameters).run(exposure(detector, band)).meta.wcs
    factor = 1 / (1 + (velosys or 0) / 299_792_458)
    np.testing.assert_allclose(sky[2], resting(x, y)[2] * factor, rtol=1e-12)


def test_places_beside_the_slices_are_on_none(tmp_path: Path) -> None:
    """Half a slice beyond the last one is the end, not a slice of the next channel."""
    parameters = overrides("MIRIFUSHORT", "SHORT", tmp_path)
    wcs = AssignWcsStep(**parameters).run(exposure("MIRIFUSHORT", "SHORT")).meta.wcs
    back = wcs.get_transform("alpha_beta", "detector")
    first, width = -1.77210143797, 0.177210143797  # arcsec, of channel 1
    beyond = np.array([-0.6, -0.4, 20.4, 20.6, 100.0, 117.0])
    x, y = back(np.zeros(6), first + width * beyond, np.full(6, 5.3))
    assert np.isfinite(x).tolist() == np.isfinite(y).tolist() == [False, True, True] + 3 * [False]
    x, _ = back(np.zeros(3), np.full(3, first), np.array([5.3, 6.6, 8.0]))  # 6.6: in no channel
    assert np.isfinite(x).tolist() == [True, False, True]


def test_the_outline_is_that_of_all_pixels(tmp_path: Path) -> None:
    """Also where it lies on both sides of 0 h."""
    parameters = overrides("MIRIFUSHORT", "SHORT", tmp_path)
    image = AssignWcsStep(**parameters).run(exposure("MIRIFUSHORT", "SHORT"))
    rows, columns = np.indices(SHAPE, dtype=float)
    ra, dec, _ = image.meta.wcs(columns, rows)
    ra = (ra + 180) % 360 - 180
    west, east = np.nanmin(ra) % 360, np.nanmax(ra)
    expected = [west, np.nanmin(dec), east, np.nanmin(dec), east, np.nanmax(dec), west]
    assert west > 359
    assert east < 1
    found = np.array(image.meta.wcsinfo.s_region.split()[2:9], float)
    np.testing.assert_allclose(expected, found, rtol=0, atol=1e-8)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    """References of another band, regions of another shape, a header without a band."""
    parameters = overrides("MIRIFUSHORT", "SHORT", tmp_path)
    step = AssignWcsStep(**parameters)
    with pytest.raises(ReferenceMissing, match=r"lacks 1LONG, 2LONG, it has: 1SHORT, 2SHORT"):
        step.run(exposure("MIRIFUSHORT", "LONG"))
    nameless: Any = exposure("MIRIFUSHORT", "SHORT")
    nameless.meta.instrument.band = None
    with pytest.raises(InputError, match=r"BAND is None; allowed: .*SHORT-MEDIUM"):
        step.run(nameless)
    regions: Any = models.RegionsModel(parameters["override_regions"])
    regions.regions = np.asarray(regions.regions)[:, :512]
    other = str(regions.save(tmp_path / "other.asdf"))
    with pytest.raises(ReferenceMissing, match=r"other\.asdf: its regions .*\(9, 512, 1032\)"):
        AssignWcsStep(**parameters | {"override_regions": other}).run(
            exposure("MIRIFUSHORT", "SHORT")
        )
