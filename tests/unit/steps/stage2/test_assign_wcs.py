"""Coordinates of images, held against headers and against astropy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.demo.optics import APERTURES
from stpipe.errors import InputError
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep


def test_the_reference_point_looks_where_the_header_says(rate: Path) -> None:
    """The centre of the subarray is at (V2_REF, V3_REF), and that is at (RA_REF, DEC_REF)."""
    image = AssignWcsStep().run(rate)
    rows, columns = image.shape
    info, centre = image.meta.wcsinfo, ((columns - 1) / 2, (rows - 1) / 2)

    v2, v3 = image.meta.wcs.get_transform("detector", "v2v3")(*centre)
    np.testing.assert_allclose((v2, v3), (info.v2_ref, info.v3_ref), atol=1e-9)
    np.testing.assert_allclose(image.meta.wcs(*centre), (info.ra_ref, info.dec_ref), atol=1e-9)


def test_fits_keywords_agree_with_the_gwcs(rate: Path, tmp_path: Path) -> None:
    """What other software reads is the same to a hundredth of a pixel, and so is the outline."""
    from astropy.io import fits
    from astropy.wcs import WCS

    image = AssignWcsStep().run(rate)
    path = image.save(tmp_path / "x_assign_wcs.fits")
    rows, columns = np.mgrid[0 : image.shape[0] - 1 : 9j, 0 : image.shape[1] - 1 : 9j]
    with fits.open(path) as hdus:
        theirs = WCS(hdus["SCI"].header).all_pix2world(columns, rows, 0)
    ours = image.meta.wcs(columns, rows)

    pixel = APERTURES[image.meta.instrument.name].scale / 3600
    east = (theirs[0] - ours[0]) * np.cos(np.deg2rad(ours[1]))
    assert max(np.abs(east).max(), np.abs(theirs[1] - ours[1]).max()) < 0.01 * pixel
    corners = np.array(image.meta.wcsinfo.s_region.split()[2:], float).reshape(4, 2)
    edges = [(-0.5, -0.5), (-0.5, image.shape[0] - 0.5)]
    for corner, edge in zip(corners, edges, strict=False):
        np.testing.assert_allclose(
            corner, image.meta.wcs(*edge, with_bounding_box=False), atol=1e-8
        )


def test_sip_can_be_left_out_and_tells_when_it_is_not_good_enough(
    rate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it the keywords stay; with too low a degree there is a warning."""
    with models.open(rate) as before:
        plain = AssignWcsStep(sip_approx=False).run(before)
        assert before.meta.wcsinfo.ctype1 == plain.meta.wcsinfo.ctype1 == "RA---TAN"
    coarse = AssignWcsStep(sip_degree=1, sip_inv_degree=1, sip_max_pix_error=1e-9).run(rate)
    assert "SIPMXERR" in caplog.text
    assert coarse.meta.wcsinfo.cd1_1 is not None
    assert coarse.meta.wcsinfo.pc1_1 is None


def test_other_exposure_types_are_refused(rate: Path) -> None:
    """Not passed through: the message lists what can be done."""
    with models.open(rate) as image:
        image.meta.exposure.type = "NIS_SOSS"
        with pytest.raises(InputError, match=r"NIS_SOSS are not supported, allowed: .*NRC_IMAGE"):
            AssignWcsStep().run(image)
