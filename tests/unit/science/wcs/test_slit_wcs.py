"""Pixels of slits of NIRSpec."""

from __future__ import annotations

import pytest

from stpipe.science.wcs.nirspec.slit_wcs import cutout_pixels

# Limits of x and y of slits, and first column and row, from 0, and shape that jwst cuts out for them.
CUTOUTS = [
    (((1307.080490119531, 2047.5), (53.5, 93.5)), (1307, 54), (40, 741)),
    (((1325.570038919712, 2047.5), (18.5, 58.5)), (1326, 19), (40, 722)),
    (((1329.8010169955667, 2047.5), (130.5, 154.5)), (1330, 131), (24, 718)),
    (((837.4185292920166, 2047.5), (160.5, 204.5)), (837, 161), (44, 1211)),
]


@pytest.mark.parametrize(("box", "start", "shape"), CUTOUTS)
def test_slits_are_cut_out_where_jwst_does(
    box: tuple[tuple[float, float], tuple[float, float]],
    start: tuple[int, int],
    shape: tuple[int, int],
) -> None:
    """Limits are rounded: a pixel whose middle is just outside belongs to the cutout."""
    rows, columns = cutout_pixels(box)
    assert start == (columns.start, rows.start)
    assert shape == (rows.stop - rows.start, columns.stop - columns.start)
